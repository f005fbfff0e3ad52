import { MeshError } from "../core/errors.ts";

export type PemErrorCode = "invalid_pem";

/** One PEM block (RFC 7468). */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

/** More blocks than this in one text are refused. */
const MAX_BLOCKS = 256;

/**
 * Every block of a PEM text, in order; text between blocks is ignored, as OpenSSL does.
 *
 * @throws MeshError `invalid_pem` when a block is cut off or is not base64
 */
export function decodePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  for (let at = text.indexOf("-----BEGIN "); at >= 0; at = text.indexOf("-----BEGIN ", at)) {
    const labelEnd = text.indexOf("-----", at + 11);
    const label = labelEnd < 0 ? "" : text.slice(at + 11, labelEnd);
    const footer = `-----END ${label}-----`;
    const end = labelEnd < 0 ? -1 : text.indexOf(footer, labelEnd);
    if (end < 0) {
      throw new MeshError<PemErrorCode>("invalid_pem", `cannot read PEM: block "${label.slice(0, 64)}" has no end`);
    }
    if (blocks.length === MAX_BLOCKS) {
      throw new MeshError<PemErrorCode>("invalid_pem", `cannot read PEM: more than ${MAX_BLOCKS} blocks`);
    }
    blocks.push({ label, der: fromBase64(text.slice(labelEnd + 5, end)) });
    at = end + footer.length;
  }
  return blocks;
}

function fromBase64(text: string): Uint8Array {
  try {
    const binary = atob(text.replace(/[\r\n\t ]+/g, ""));
    return Uint8Array.from(binary, (c) => c.charCodeAt(0));
  } catch (cause) {
    throw new MeshError<PemErrorCode>("invalid_pem", "cannot read PEM: the content is not base64", { cause });
  }
}

/** The certificates of a PEM text as DER; other blocks are passed over. */
export function certificatesOf(text: string): Uint8Array[] {
  return decodePem(text).filter(({ label }) => label === "CERTIFICATE").map(({ der }) => der);
}

/** One block with lines of 64 characters, ending in a newline. */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < der.length; at += 8192) binary += String.fromCharCode(...der.subarray(at, at + 8192));
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
