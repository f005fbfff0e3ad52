import { constants, createInflate, type Inflate } from "node:zlib";

// Header blocks of SPDY/3.1: name-value pairs, compressed by one zlib stream per direction with a fixed dictionary.

const WORDS =
  "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|" +
  "allow|authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|" +
  "content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|" +
  "if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|" +
  "proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|warning|" +
  "www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|keep-alive|origin";
const TEXT = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 " +
  "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not " +
  "Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov " +
  "Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml," +
  "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=" +
  "iso-8859-1,utf-,*,enq=0.";

/** The dictionary of the specification: each word behind its length, then the text. */
function makeDictionary(): Uint8Array {
  const encoder = new TextEncoder();
  const words = WORDS.split("|").map((word) => encoder.encode(word));
  const text = encoder.encode(TEXT);
  const result = new Uint8Array(words.reduce((sum, word) => sum + 4 + word.length, text.length));
  let at = 0;
  for (const word of words) {
    new DataView(result.buffer).setUint32(at, word.length);
    result.set(word, at + 4);
    at += 4 + word.length;
  }
  result.set(text, at);
  return result;
}

/** What both sides' compressors start from. */
export const DICTIONARY = makeDictionary();
/** Adler-32 of the dictionary, which the zlib header names. */
const DICTIONARY_ID = [0xe3, 0xc6, 0xa7, 0xc2];
const BLOCK_LIMIT = 64 * 1024;

/** Thrown for bytes that are not a header block. */
export class HeaderError extends Error {}

/** Reads the header blocks of one direction, in order. */
export class HeaderReader {
  readonly #inflate: Inflate;
  #output: Uint8Array[] = [];
  #size = 0;
  #failure: Error | undefined;

  constructor() {
    this.#inflate = createInflate({
      dictionary: DICTIONARY,
      flush: constants.Z_SYNC_FLUSH,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    this.#inflate.on("data", (chunk: Uint8Array) => {
      this.#size += chunk.length;
      if (this.#size <= BLOCK_LIMIT) this.#output.push(new Uint8Array(chunk));
    });
    this.#inflate.on("error", (error) => this.#failure ??= error);
  }

  /** @throws {HeaderError} */
  async read(block: Uint8Array): Promise<Map<string, string>> {
    this.#output = [];
    this.#size = 0;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#inflate.off("error", done);
        resolve();
      };
      this.#inflate.once("error", done);
      this.#inflate.write(block, done);
    });
    if (this.#failure) throw new HeaderError(`cannot inflate a header block: ${this.#failure.message}`);
    if (this.#size > BLOCK_LIMIT) throw new HeaderError("a header block is too large");
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#output) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return parsePairs(bytes);
  }

  close(): void {
    this.#inflate.destroy();
  }
}

function parsePairs(bytes: Uint8Array): Map<string, string> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const decoder = new TextDecoder();
  let at = 0;
  const number = (): number => {
    if (at + 4 > bytes.length) throw new HeaderError("a header block is cut short");
    at += 4;
    return view.getUint32(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (at + length > bytes.length) throw new HeaderError("a header block is cut short");
    at += length;
    return decoder.decode(bytes.subarray(at - length, at));
  };
  const pairs = new Map<string, string>();
  for (let count = number(); count > 0; count--) pairs.set(text().toLowerCase(), text());
  return pairs;
}

/** Writes header blocks that hold no pairs, as stored (uncompressed) zlib data. */
export class HeaderWriter {
  #started = false;

  empty(): Uint8Array {
    // The empty block at the end is what makes decoders hand out what came before it.
    const stored = [0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff];
    if (this.#started) return Uint8Array.from(stored);
    this.#started = true;
    return Uint8Array.from([0x78, 0xbb, ...DICTIONARY_ID, ...stored]);
  }
}
