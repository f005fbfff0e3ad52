/** What the product page shows; undefined where a service did not answer. */
export interface PageContent {
  readonly user?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly reviews?: {
    readonly podname?: string;
    readonly reviews: readonly {
      readonly reviewer: string;
      readonly text: string;
      readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
    }[];
  };
  readonly servedBy: string;
}

function escape(value: unknown): string {
  return String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6577; --paper: #fbfaf7; --card: #fff; --line: #e6e2d8; --accent: #7a2e3a; --star: #c8283c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9e6df; --soft: #a5a9b4; --paper: #16181d; --card: #1e2128; --line: #30343e; --accent: #e79aa7; --star: #f0707f; }
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); font: 16px/1.6 Georgia, "Times New Roman", serif; }
header, footer, .mono { font-family: ui-sans-serif, system-ui, sans-serif; }
header { display: flex; align-items: center; gap: 1rem; padding: 1rem 2rem; border-bottom: 1px solid var(--line); background: var(--card); }
header strong { font-size: 1.05rem; letter-spacing: .02em; }
header form { margin-left: auto; display: flex; gap: .5rem; }
input, button { font: inherit; font-size: .9rem; padding: .35rem .7rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--paper); color: inherit; }
button { background: var(--accent); border-color: var(--accent); color: var(--card); cursor: pointer; }
main { max-width: 62rem; margin: 2.5rem auto; padding: 0 2rem; }
.book { display: grid; grid-template-columns: 12rem 1fr; gap: 2.5rem; align-items: start; }
.book svg { width: 100%; border-radius: .3rem; box-shadow: 0 10px 30px #0003; }
h1 { font-size: 2.2rem; line-height: 1.15; font-weight: 500; }
h2 { margin: 3rem 0 1rem; font-size: 1.3rem; font-weight: 500; }
p.summary { margin: 1rem 0 1.5rem; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; font-size: .95rem; }
dt { color: var(--soft); } dd { margin: 0; }
.reviews { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.25rem; }
blockquote { padding: 1.25rem 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
blockquote small { display: block; margin-top: .75rem; color: var(--soft); }
.stars { font-size: 1.25rem; letter-spacing: .15em; } .stars.black { color: var(--ink); } .stars.red { color: var(--star); }
a { color: var(--accent); text-underline-offset: .2em; }
.missing { color: var(--accent); }
footer { width: calc(100% - 4rem); max-width: 58rem; margin: 3rem auto; padding: 1rem 0; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; display: flex; flex-wrap: wrap; gap: .4rem 2rem; }
@media (max-width: 40rem) { .book { grid-template-columns: 1fr; } .book svg { max-width: 10rem; } }
`;

const COVER = `<svg viewBox="0 0 240 340" role="img" aria-label="Cover of The Comedy of Errors">
<rect width="240" height="340" fill="#7a2e3a"/><rect x="14" y="14" width="212" height="312" fill="none" stroke="#e8d9b5" stroke-width="2"/>
<g fill="#e8d9b5" font-family="Georgia,serif" text-anchor="middle"><text x="120" y="70" font-size="17" letter-spacing="3">THE COMEDY</text>
<text x="120" y="94" font-size="13" letter-spacing="3">OF ERRORS</text>
<circle cx="92" cy="180" r="42"/><circle cx="148" cy="180" r="42" opacity=".75"/>
<g stroke="#7a2e3a" stroke-width="4" fill="none" stroke-linecap="round"><path d="M76 172h10M98 172h10M78 194q14 14 28 0M132 172h10M154 172h10M134 200q14-14 28 0"/></g>
<text x="120" y="288" font-size="12" letter-spacing="2">SHAKESPEARE</text></g></svg>`;

function layout(user: string | undefined, body: string, footer: string): string {
  const session = user
    ? `<form method="get" action="logout"><span class="mono">${escape(user)}</span><button>Sign out</button></form>`
    : `<form method="post" action="login"><input name="username" placeholder="User name" aria-label="User name" required><button>Sign in</button></form>`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simple Bookstore App</title>
<link rel="stylesheet" href="static/style.css">
</head>
<body>
<header><strong>BookInfo</strong>${session}</header>
<main>${body}</main>
<footer>${footer}</footer>
</body>
</html>
`;
}

/** The start page: what the application is made of. */
export function indexPage(user: string | undefined, servedBy: string): string {
  return layout(
    user,
    `<div class="book"><div>${COVER}</div><div><h1>A bookstore of four services</h1>
<p class="summary">productpage asks details for facts and reviews for opinions; reviews, in its second and third version, asks ratings for stars.</p>
<p><a href="productpage">See the book</a></p></div></div>`,
    `<span>Product page served by: ${escape(servedBy)}</span>`,
  );
}

/** The page of the book: facts, reviews, and which pod answered. */
export function productPage({ user, details, reviews, servedBy }: PageContent): string {
  const facts = details
    ? `<dl>${
      [["Type", "type"], ["Pages", "pages"], ["Publisher", "publisher"], ["Language", "language"], [
        "ISBN-10",
        "ISBN-10",
      ], [
        "ISBN-13",
        "ISBN-13",
      ]].map(([label, key]) => `<dt>${label}</dt><dd>${escape(details[key] ?? "")}</dd>`).join("")
    }</dl>`
    : `<p class="missing">Sorry, product details are currently unavailable for this book.</p>`;
  const opinions = reviews
    ? `<div class="reviews">${
      reviews.reviews.map(({ reviewer, text, rating }) =>
        `<blockquote>${stars(rating)}<p>${escape(text)}</p><small>${escape(reviewer)}</small></blockquote>`
      ).join("\n")
    }</div>`
    : `<p class="missing">Sorry, product reviews are currently unavailable for this book.</p>`;
  const pods = [
    `<span>Product page served by: ${escape(servedBy)}</span>`,
    ...(reviews?.podname ? [`<span>Reviews served by: ${escape(reviews.podname)}</span>`] : []),
  ];
  return layout(
    user,
    `<div class="book"><div>${COVER}</div><div><h1>The Comedy of Errors</h1>
<p class="summary">Two pairs of twins, parted at sea, arrive in one town, and every door is opened to the wrong one.</p>
${facts}</div></div>
<h2>Reviews</h2>
${opinions}`,
    pods.join("\n"),
  );
}

function stars(rating: { stars?: number; color?: string; error?: string } | undefined): string {
  if (!rating) return "";
  if (rating.stars === undefined) return `<p class="missing">${escape(rating.error ?? "No rating")}</p>`;
  const full = Math.max(0, Math.min(5, Math.round(rating.stars)));
  const color = rating.color === "red" ? "red" : "black";
  return `<p class="stars ${color}" aria-label="${full} of 5 stars">${"★".repeat(full)}${"☆".repeat(5 - full)}</p>`;
}
