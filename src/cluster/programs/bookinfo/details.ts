import { json, methodNotAllowed, notFound, type Program, serveHttp } from "../program.ts";

/** Bookinfo's details service: facts about the one book of the store. */
export const details: Program = (context) =>
  serveHttp(context, 9080, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return json({ status: "Details is healthy" });
    const id = /^\/details\/([^/]+)$/.exec(pathname)?.[1];
    if (id === undefined) return notFound();
    if (request.method !== "GET") return methodNotAllowed("GET");
    if (!/^\d{1,9}$/.test(id)) return json({ error: "please provide numeric product id" }, 400);
    return json({
      id: Number(id),
      author: "William Shakespeare",
      year: 1595,
      type: "paperback",
      pages: 200,
      publisher: "PublisherA",
      language: "English",
      "ISBN-10": "1234567890",
      "ISBN-13": "123-1234567890",
    });
  });
