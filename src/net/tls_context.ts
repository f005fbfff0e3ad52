import { MeshError } from "../core/errors.ts";
import { allocate, BASE, I32, U8 } from "../sys/memory.ts";
import { openssl, opensslReason } from "../sys/openssl.ts";

/** Which side of the handshake a context serves. */
export type TlsRole = "client" | "server";

/** A certificate with its key. */
export interface TlsCertificate {
  /** Leaf, then intermediates; "" for a client that shows no certificate. */
  chainPem: string;
  /** PKCS#8 or SEC1; "" without a certificate. */
  keyPem: string;
}

/** What a TLS context is made from. */
export interface TlsMaterial extends TlsCertificate {
  /** A server's further certificates, with other kinds of keys: clients get the one that they can verify. Of one kind the first is used. */
  others?: readonly TlsCertificate[];
  /** Trust anchors for the peer's chain; an intermediate may be one. "" where the peer's certificate is not verified. */
  rootsPem: string;
  /** Revoked certificates are refused; a certificate whose CRL is not here is tolerated. */
  crlPem?: string;
}

export interface TlsOptions {
  /** Protocols in order of preference. */
  alpn?: readonly string[];
  /**
   * Whether a server demands a certificate of its clients (and a client verifies its server's): always, in a mesh. `optional`: a
   * server's clients may show none, but what they show is verified.
   */
  mutual?: boolean | "optional";
  /** TLS 1.3 unless an outside world must be spoken to. */
  minVersion?: "TLSv1_2" | "TLSv1_3";
  /** A client sends this as SNI; whether the certificate is for it is for the caller to check. */
  serverName?: string;
}

/** What is wrong with TLS material or a handshake. */
export type TlsErrorCode = "tls_material" | "tls_failure";

const CTRL_MODE = 33, CTRL_READ_AHEAD = 41, CTRL_SESSION_CACHE = 44, CTRL_GROUPS = 92, CTRL_MIN = 123, CTRL_MAX = 124;
const CTRL_CHAIN = 88, CTRL_ADD_CHAIN = 89;
const TLS1_2 = 0x303n, TLS1_3 = 0x304n;
const MODE_PARTIAL_WRITE = 1n, MODE_MOVING_BUFFER = 2n, MODE_RELEASE_BUFFERS = 16n;
const OP_IGNORE_UNEXPECTED_EOF = 0x80n, OP_NO_TICKET = 0x4000n, OP_SERVER_PREFERENCE = 0x400000n;
const VERIFY_PEER = 1, VERIFY_PEER_REQUIRED = 3;
const FLAG_CRL_CHECK = 0x4n, FLAG_PARTIAL_CHAIN = 0x80000n;

/** One `recv` of up to this much feeds many records; off or smaller costs 5-30 % of bulk throughput. */
const READ_BUFFER = 256n * 1024n;

/** ztunnel's order. */
const SUITES = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
/** TLS 1.2, where it is allowed: forward secrecy and authenticated encryption alone, as Istio's gateways. */
const CIPHERS_1_2 = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:" +
  "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/** The first list that the library knows is used: the post-quantum group comes with OpenSSL 3.5. */
const GROUPS = ["X25519MLKEM768:X25519:P-256:P-384", "X25519:P-256:P-384"];

// Opened with the module, not at the first handshake: a program that cannot do TLS should say so when it starts.
openssl();

const registry = new FinalizationRegistry<Deno.PointerObject>((context) => openssl().SSL_CTX_free(context));

/**
 * TLS settings with their certificates, shared by any number of connections. Freed when nothing refers to it; connections
 * made from it live on.
 */
export class TlsContext {
  /** `SSL_CTX *` */
  readonly handle: Deno.PointerObject;
  /** The SNI of connections made from it, with its final NUL; null sends none. */
  readonly serverName: Uint8Array<ArrayBuffer> | null;

  /** @throws MeshError `tls_material`, `library_missing` */
  constructor(readonly role: TlsRole, material: TlsMaterial, options: TlsOptions = {}) {
    const ssl = openssl();
    ssl.ERR_clear_error();
    const handle = ssl.SSL_CTX_new(ssl.TLS_method());
    if (handle === null) throw new MeshError("tls_material", `cannot make a TLS context: ${opensslReason()}`);
    this.handle = handle;
    registry.register(this, handle);
    this.serverName = options.serverName ? cstring(options.serverName) : null;
    ssl.SSL_CTX_ctrl(handle, CTRL_MIN, options.minVersion === "TLSv1_2" ? TLS1_2 : TLS1_3, null);
    ssl.SSL_CTX_ctrl(handle, CTRL_MAX, TLS1_3, null);
    ssl.SSL_CTX_ctrl(handle, CTRL_MODE, MODE_PARTIAL_WRITE | MODE_MOVING_BUFFER | MODE_RELEASE_BUFFERS, null);
    ssl.SSL_CTX_ctrl(handle, CTRL_READ_AHEAD, 1n, null);
    ssl.SSL_CTX_ctrl(handle, CTRL_SESSION_CACHE, 0n, null);
    ssl.SSL_CTX_set_default_read_buffer_len(handle, READ_BUFFER);
    ssl.SSL_CTX_set_options(handle, OP_NO_TICKET | OP_SERVER_PREFERENCE | OP_IGNORE_UNEXPECTED_EOF);
    ssl.SSL_CTX_set_num_tickets(handle, 0n);
    ssl.SSL_CTX_set_ciphersuites(handle, cstring(SUITES));
    if (options.minVersion === "TLSv1_2") ssl.SSL_CTX_set_cipher_list(handle, cstring(CIPHERS_1_2));
    GROUPS.some((list) => ssl.SSL_CTX_ctrl(handle, CTRL_GROUPS, 0n, cstring(list)) === 1n);
    ssl.ERR_clear_error();
    const mutual = options.mutual ?? true;
    // A later one takes the place of an earlier one with the same kind of key.
    for (const other of [...material.others ?? []].reverse()) loadCertificate(handle, other);
    if (role === "server" || material.chainPem !== "") loadCertificate(handle, material);
    const verify = mutual === true ? VERIFY_PEER_REQUIRED : VERIFY_PEER;
    if (mutual !== false) {
      ssl.SSL_CTX_set_verify(handle, verify, null);
      loadRoots(handle, material, verify);
    }
    if (options.alpn && options.alpn.length > 0) setAlpn(handle, role, options.alpn);
  }
}

function cstring(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/** Calls `use` for every object that `read` finds in the PEM text; returns how many there were. */
function eachPem(
  text: string,
  read: (bio: Deno.PointerValue, a: null, b: null, c: null) => Deno.PointerValue,
  use: (object: Deno.PointerObject) => void,
): number {
  const ssl = openssl();
  const bytes = new TextEncoder().encode(text);
  const bio = ssl.BIO_new_mem_buf(bytes, bytes.length);
  let count = 0;
  try {
    for (;;) {
      const object = read(bio, null, null, null);
      if (object === null) return count;
      count++;
      use(object);
    }
  } finally {
    ssl.BIO_free(bio);
    ssl.ERR_clear_error(); // "no start line" is how the end shows
  }
}

function loadCertificate(handle: Deno.PointerObject, { chainPem, keyPem }: TlsCertificate): void {
  const ssl = openssl();
  let first = true;
  const count = eachPem(chainPem, ssl.PEM_read_bio_X509, (certificate) => {
    if (first) {
      first = false;
      const ok = ssl.SSL_CTX_use_certificate(handle, certificate) === 1;
      ssl.X509_free(certificate);
      if (!ok) throw new MeshError("tls_material", `cannot use the certificate: ${opensslReason()}`);
      ssl.SSL_CTX_ctrl(handle, CTRL_CHAIN, 0n, null);
    } else if (ssl.SSL_CTX_ctrl_pointer(handle, CTRL_ADD_CHAIN, 0n, certificate) !== 1n) {
      // Taken, the context would own the reference.
      ssl.X509_free(certificate);
      throw new MeshError("tls_material", `cannot use an intermediate certificate: ${opensslReason()}`);
    }
  });
  if (count === 0) throw new MeshError("tls_material", "cannot find a certificate in the chain");
  const keys = eachPem(keyPem, ssl.PEM_read_bio_PrivateKey, (key) => {
    const ok = ssl.SSL_CTX_use_PrivateKey(handle, key) === 1;
    ssl.EVP_PKEY_free(key);
    if (!ok) throw new MeshError("tls_material", `cannot use the private key: ${opensslReason()}`);
  });
  if (keys === 0) throw new MeshError("tls_material", "cannot find a private key");
  if (ssl.SSL_CTX_check_private_key(handle) !== 1) {
    throw new MeshError("tls_material", `the private key does not belong to the certificate: ${opensslReason()}`);
  }
}

function loadRoots(handle: Deno.PointerObject, { rootsPem, crlPem }: TlsMaterial, verify: number): void {
  const ssl = openssl();
  const store = ssl.SSL_CTX_get_cert_store(handle);
  const count = eachPem(rootsPem, ssl.PEM_read_bio_X509, (certificate) => {
    ssl.X509_STORE_add_cert(store, certificate);
    ssl.X509_free(certificate);
  });
  if (count === 0) throw new MeshError("tls_material", "cannot find a root certificate");
  const param = ssl.SSL_CTX_get0_param(handle);
  // Any given root is an anchor, self-signed or not, as in ztunnel.
  ssl.X509_VERIFY_PARAM_set_flags(param, FLAG_PARTIAL_CHAIN);
  if (!crlPem) return;
  eachPem(crlPem, ssl.PEM_read_bio_X509_CRL, (crl) => {
    ssl.X509_STORE_add_crl(store, crl);
    ssl.X509_CRL_free(crl);
  });
  ssl.X509_VERIFY_PARAM_set_flags(param, FLAG_CRL_CHECK);
  ssl.SSL_CTX_set_verify(handle, verify, tolerateUnknownStatus.pointer);
}

// Callbacks are made when the module loads and live as long as the thread: OpenSSL may call them at any handshake.

const ERROR_UNABLE_TO_GET_CRL = 3;

/** A certificate whose issuer has no CRL here passes, as in ztunnel. */
const tolerateUnknownStatus = new Deno.UnsafeCallback(
  { parameters: ["i32", "pointer"], result: "i32" } as const,
  (ok, context) => ok === 1 || openssl().X509_STORE_CTX_get_error(context) === ERROR_UNABLE_TO_GET_CRL ? 1 : 0,
);

const NEGOTIATED = 1, ALERT_FATAL = 2;

/** Server side: `list` points to our protocols in wire form, after their length. */
const selectProtocol = new Deno.UnsafeCallback(
  { parameters: ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"], result: "i32" } as const,
  (_ssl, out, outLength, offered, offeredLength, list) => {
    const at = Number(Deno.UnsafePointer.value(list)) - BASE;
    const chosen = openssl().SSL_select_next_proto(out, outLength, BASE + at + 4, I32[at >> 2], offered, offeredLength);
    return chosen === NEGOTIATED ? 0 : ALERT_FATAL;
  },
);

/** Wire forms by list; they are few and stay for good. */
const protocolLists = new Map<string, number>();

function setAlpn(handle: Deno.PointerObject, role: TlsRole, protocols: readonly string[]): void {
  const ssl = openssl();
  const wire = new Uint8Array(protocols.flatMap((name) => [name.length, ...new TextEncoder().encode(name)]));
  if (role === "client") {
    ssl.SSL_CTX_set_alpn_protos(handle, wire, wire.length);
    return;
  }
  const key = protocols.join(",");
  let at = protocolLists.get(key);
  if (at === undefined) {
    at = allocate(4 + wire.length);
    I32[at >> 2] = wire.length;
    U8.set(wire, at + 4);
    protocolLists.set(key, at);
  }
  ssl.SSL_CTX_set_alpn_select_cb(handle, selectProtocol.pointer, Deno.UnsafePointer.create(BigInt(BASE + at)));
}
