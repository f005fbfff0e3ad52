import type { ControllerContext } from "./kit/context.ts";
import { canonicalJson } from "./kit/hash.ts";
import { CONFIG_MAPS, keyOf, NAMESPACES, SECRETS, SERVICE_ACCOUNTS, splitKey } from "./kit/types.ts";
import { ensure, remove, unless } from "./kit/writes.ts";

const TOKEN_TYPE = "kubernetes.io/service-account-token";
const ACCOUNT_NAME = "kubernetes.io/service-account.name";
const ACCOUNT_UID = "kubernetes.io/service-account.uid";
/** Tokens in Secrets do not expire in kube; ours last a hundred years. */
const TOKEN_SECONDS = 100 * 365 * 86_400;
const ROOT_CA = "kube-root-ca.crt";

/** Gives every namespace its `default` ServiceAccount and its `kube-root-ca.crt` ConfigMap, and fills token Secrets. */
export function startServiceAccounts({ api, caches, runner, tokens, caPem }: ControllerContext): void {
  const namespaces = caches.of(NAMESPACES);
  const accounts = caches.of(SERVICE_ACCOUNTS);
  const configMaps = caches.of(CONFIG_MAPS);
  const secrets = caches.of(SECRETS);
  secrets.index("token-of", (secret) => {
    const account = secret.type === TOKEN_TYPE ? secret.metadata.annotations?.[ACCOUNT_NAME] : undefined;
    return account ? [`${secret.metadata.namespace}/${account}`] : [];
  });
  const spaces = runner.register("namespace-defaults", equip);
  const tokenQueue = runner.register("serviceaccount-token", fill);

  namespaces.onChange((event, namespace) => {
    if (event !== "DELETED") spaces.add(namespace.metadata.name);
  });
  accounts.onChange((event, account) => {
    if (event === "DELETED" && account.metadata.name === "default") spaces.add(account.metadata.namespace!);
    for (const secret of secrets.by("token-of", keyOf(account))) tokenQueue.add(keyOf(secret));
  });
  configMaps.onChange((event, map) => {
    if (map.metadata.name === ROOT_CA && event !== "ADDED") spaces.add(map.metadata.namespace!);
  });
  secrets.onChange((event, secret) => {
    if (event !== "DELETED" && secret.type === TOKEN_TYPE) tokenQueue.add(keyOf(secret));
  });

  function equip(name: string): void {
    const namespace = namespaces.find(undefined, name);
    if (!namespace || namespace.metadata.deletionTimestamp) return;
    if (!accounts.find(name, "default")) {
      ensure(api, SERVICE_ACCOUNTS, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace: name },
      });
    }
    const data = { "ca.crt": caPem };
    const present = configMaps.find(name, ROOT_CA);
    if (!present) {
      ensure(api, CONFIG_MAPS, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: {
          name: ROOT_CA,
          namespace: name,
          annotations: {
            "kubernetes.io/description":
              "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc.",
          },
        },
        data,
      });
    } else if (canonicalJson(present.data) !== canonicalJson(data)) {
      api.update(CONFIG_MAPS, { ...structuredClone(present), data });
    }
  }

  async function fill(key: string): Promise<void> {
    const secret = secrets.get(key);
    if (!secret || secret.metadata.deletionTimestamp || secret.type !== TOKEN_TYPE) return;
    const { namespace } = splitKey(key);
    const name = secret.metadata.annotations?.[ACCOUNT_NAME];
    if (!name) return;
    const account = accounts.find(namespace, name);
    const uid = secret.metadata.annotations?.[ACCOUNT_UID];
    if (!account || (uid && uid !== account.metadata.uid)) {
      // As in kube: the token of an account that is not there is worth nothing.
      remove(api, SECRETS, secret);
      return;
    }
    const ca = btoa(caPem);
    const wanted = secret.data?.["ca.crt"] === ca && secret.data?.token && secret.data?.namespace && uid;
    if (wanted) return;
    const token = secret.data?.token ?? btoa(
      (await tokens.issue({
        namespace: namespace!,
        serviceAccount: name,
        audiences: [],
        expirationSeconds: TOKEN_SECONDS,
      })).token,
    );
    unless(["NotFound"], () =>
      api.patch(SECRETS, namespace, secret.metadata.name, "merge", {
        metadata: { annotations: { [ACCOUNT_UID]: account.metadata.uid } },
        data: { token, "ca.crt": ca, namespace: btoa(namespace!) },
      }));
  }
}
