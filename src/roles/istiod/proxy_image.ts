import { describeError } from "../../core/errors.ts";
import { VERSION } from "../../core/version.ts";
import { type KubeClient, type KubeObject, RESOURCES } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { IstiodConfig } from "./config.ts";

/** The image that istiod itself runs in: it has all roles. Outside of a pod, the one of this version. */
export async function proxyImage(client: KubeClient, config: IstiodConfig, logger: Logger): Promise<string> {
  const fallback = `ambientd:${VERSION}`;
  if (config.podName === "") return fallback;
  try {
    const pod: KubeObject | undefined = await client.get(RESOURCES.pods, config.namespace, config.podName);
    const containers: { name?: string; image?: string }[] = pod?.spec?.containers ?? [];
    return containers.find(({ name }) => name === "discovery")?.image ?? fallback;
  } catch (error) {
    logger.warn("cannot read istiod's own pod; proxies get the image of this version", {
      image: fallback,
      error: describeError(error),
    });
    return fallback;
  }
}
