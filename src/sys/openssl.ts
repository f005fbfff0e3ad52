import { MeshError } from "../core/errors.ts";
import { ADDR } from "./memory.ts";

/**
 * OpenSSL 3. Handles (SSL, SSL_CTX, BIO, …) are `pointer` objects, which are made once per object and cost nothing to
 * pass; data is {@linkcode ADDR}. Nothing is opened before {@linkcode openssl} is called, so roles without TLS of their own never need it.
 */
const SSL_SYMBOLS = {
  TLS_method: { parameters: [], result: "pointer" },
  SSL_CTX_new: { parameters: ["pointer"], result: "pointer" },
  SSL_CTX_free: { parameters: ["pointer"], result: "void" },
  SSL_CTX_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" },
  SSL_CTX_ctrl_pointer: { name: "SSL_CTX_ctrl", parameters: ["pointer", "i32", "i64", "pointer"], result: "i64" },
  SSL_CTX_set_options: { parameters: ["pointer", "u64"], result: "u64" },
  SSL_CTX_set_num_tickets: { parameters: ["pointer", "usize"], result: "i32" },
  SSL_CTX_set_ciphersuites: { parameters: ["pointer", "buffer"], result: "i32" },
  SSL_CTX_set_cipher_list: { parameters: ["pointer", "buffer"], result: "i32" },
  SSL_CTX_set_verify: { parameters: ["pointer", "i32", "pointer"], result: "void" },
  SSL_CTX_set_alpn_protos: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  SSL_CTX_set_alpn_select_cb: { parameters: ["pointer", "function", "pointer"], result: "void" },
  SSL_CTX_set_default_read_buffer_len: { parameters: ["pointer", "usize"], result: "void" },
  SSL_CTX_use_certificate: { parameters: ["pointer", "pointer"], result: "i32" },
  SSL_CTX_use_PrivateKey: { parameters: ["pointer", "pointer"], result: "i32" },
  SSL_CTX_check_private_key: { parameters: ["pointer"], result: "i32" },
  SSL_CTX_get_cert_store: { parameters: ["pointer"], result: "pointer" },
  SSL_CTX_get0_param: { parameters: ["pointer"], result: "pointer" },
  SSL_new: { parameters: ["pointer"], result: "pointer" },
  SSL_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" },
  SSL_free: { parameters: ["pointer"], result: "void" },
  SSL_select_next_proto: {
    parameters: ["pointer", "pointer", ADDR, "u32", "pointer", "u32"],
    result: "i32",
  },
  SSL_set_connect_state: { parameters: ["pointer"], result: "void" },
  SSL_set_accept_state: { parameters: ["pointer"], result: "void" },
  SSL_set0_rbio: { parameters: ["pointer", "pointer"], result: "void" },
  SSL_set0_wbio: { parameters: ["pointer", "pointer"], result: "void" },
  SSL_do_handshake: { parameters: ["pointer"], result: "i32" },
  SSL_read: { parameters: ["pointer", ADDR, "i32"], result: "i32" },
  SSL_write: { parameters: ["pointer", ADDR, "i32"], result: "i32" },
  SSL_shutdown: { parameters: ["pointer"], result: "i32" },
  SSL_has_pending: { parameters: ["pointer"], result: "i32" },
  SSL_get_error: { parameters: ["pointer", "i32"], result: "i32" },
  SSL_get_verify_result: { parameters: ["pointer"], result: "i64" },
  SSL_get1_peer_certificate: { parameters: ["pointer"], result: "pointer" },
  SSL_get_version: { parameters: ["pointer"], result: "pointer" },
  SSL_get_current_cipher: { parameters: ["pointer"], result: "pointer" },
  SSL_CIPHER_get_name: { parameters: ["pointer"], result: "pointer" },
  SSL_get0_alpn_selected: { parameters: ["pointer", ADDR, ADDR], result: "void" },
} as const;

const CRYPTO_SYMBOLS = {
  OpenSSL_version_num: { parameters: [], result: "u64" },
  OpenSSL_version: { parameters: ["i32"], result: "pointer" },
  BIO_s_mem: { parameters: [], result: "pointer" },
  BIO_new: { parameters: ["pointer"], result: "pointer" },
  BIO_ctrl: { parameters: ["pointer", "i32", "i64", "pointer"], result: "i64" },
  BIO_new_mem_buf: { parameters: ["buffer", "i32"], result: "pointer" },
  BIO_new_socket: { parameters: ["i32", "i32"], result: "pointer" },
  BIO_new_bio_pair: { parameters: [ADDR, "usize", ADDR, "usize"], result: "i32" },
  BIO_nread: { parameters: ["pointer", ADDR, "i32"], result: "i32" },
  BIO_write: { parameters: ["pointer", ADDR, "i32"], result: "i32" },
  BIO_up_ref: { parameters: ["pointer"], result: "i32" },
  BIO_free: { parameters: ["pointer"], result: "i32" },
  BIO_ctrl_pending: { parameters: ["pointer"], result: "u32" },
  PEM_read_bio_X509: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "pointer" },
  PEM_read_bio_X509_CRL: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "pointer" },
  PEM_read_bio_PrivateKey: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "pointer" },
  X509_free: { parameters: ["pointer"], result: "void" },
  X509_CRL_free: { parameters: ["pointer"], result: "void" },
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
  X509_STORE_add_cert: { parameters: ["pointer", "pointer"], result: "i32" },
  X509_STORE_add_crl: { parameters: ["pointer", "pointer"], result: "i32" },
  X509_VERIFY_PARAM_set_flags: { parameters: ["pointer", "u64"], result: "i32" },
  X509_verify_cert_error_string: { parameters: ["i64"], result: "pointer" },
  X509_STORE_CTX_get_error: { parameters: ["pointer"], result: "i32" },
  i2d_X509: { parameters: ["pointer", ADDR], result: "i32" },
  ERR_get_error: { parameters: [], result: "u64" },
  ERR_clear_error: { parameters: [], result: "void" },
  ERR_error_string_n: { parameters: ["u64", "buffer", "usize"], result: "void" },
} as const;

type Symbols<T extends Deno.ForeignLibraryInterface> = Deno.DynamicLibrary<T>["symbols"];

/** Every bound function of libssl and libcrypto. */
export type OpenSsl = Symbols<typeof SSL_SYMBOLS> & Symbols<typeof CRYPTO_SYMBOLS>;

let loaded: OpenSsl | undefined;

/**
 * The bindings, opened on first use. `AMBIENTD_OPENSSL_DIR` names a folder to take libssl.so.3 and libcrypto.so.3 from.
 *
 * @throws MeshError `library_missing`
 */
export function openssl(): OpenSsl {
  if (loaded) return loaded;
  const folder = Deno.env.get("AMBIENTD_OPENSSL_DIR");
  const path = (name: string) => folder ? `${folder}/${name}` : name;
  try {
    // libssl finds the libcrypto that is already open, so that one comes first.
    const crypto = Deno.dlopen(path("libcrypto.so.3"), CRYPTO_SYMBOLS).symbols;
    const ssl = Deno.dlopen(path("libssl.so.3"), SSL_SYMBOLS).symbols;
    return loaded = { ...crypto, ...ssl };
  } catch (cause) {
    throw new MeshError(
      "library_missing",
      "cannot open OpenSSL 3 (libssl.so.3): install the package libssl3 (Debian, Ubuntu), openssl-libs (Fedora, RHEL) or libssl3 (Alpine)",
      { cause },
    );
  }
}

/** Why the last OpenSSL call of this thread failed, in OpenSSL's words; empties its queue. */
export function opensslReason(): string {
  const ssl = openssl();
  const first = ssl.ERR_get_error();
  ssl.ERR_clear_error();
  if (first === 0n) return "no reason given";
  const text = new Uint8Array(256);
  ssl.ERR_error_string_n(first, text, 256n);
  const line = new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
  // error:0A000086:SSL routines::certificate verify failed
  return line.split(":").slice(4).join(":") || line;
}

/** Reads a C string, or "" for NULL. */
export function readCString(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}
