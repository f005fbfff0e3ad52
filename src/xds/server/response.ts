import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { XdsResource } from "../resource.ts";

/** Field numbers of DeltaDiscoveryResponse, Resource and Any (workload-xds.md §4). */
const RESPONSE = { resources: 2, typeUrl: 4, nonce: 5, removedResources: 6, controlPlane: 7 } as const;
const RESOURCE = { version: 1, resource: 2, name: 3, aliases: 4 } as const;
const ANY = { typeUrl: 1, value: 2 } as const;

const encoded = new WeakMap<XdsResource, Uint8Array>();

/** A Resource message; each is serialised once however many clients are sent it. */
function encodeResource(typeUrl: string, resource: XdsResource): Uint8Array {
  let bytes = encoded.get(resource);
  if (bytes === undefined) {
    const writer = new BinaryWriter();
    if (resource.version !== "") writer.tag(RESOURCE.version, WireType.LengthDelimited).string(resource.version);
    writer.tag(RESOURCE.resource, WireType.LengthDelimited).fork();
    writer.tag(ANY.typeUrl, WireType.LengthDelimited).string(typeUrl);
    writer.tag(ANY.value, WireType.LengthDelimited).bytes(resource.bytes);
    writer.join();
    writer.tag(RESOURCE.name, WireType.LengthDelimited).string(resource.name);
    for (const alias of resource.aliases) writer.tag(RESOURCE.aliases, WireType.LengthDelimited).string(alias);
    bytes = writer.finish();
    encoded.set(resource, bytes);
  }
  return bytes;
}

/** The part of a response that all its receivers share: resources and removed names. */
export function encodeContent(
  typeUrl: string,
  resources: Iterable<XdsResource>,
  removed: Iterable<string>,
): Uint8Array {
  const writer = new BinaryWriter();
  for (const resource of resources) {
    writer.tag(RESPONSE.resources, WireType.LengthDelimited).bytes(encodeResource(typeUrl, resource));
  }
  for (const name of removed) writer.tag(RESPONSE.removedResources, WireType.LengthDelimited).string(name);
  return writer.finish();
}

/** A whole DeltaDiscoveryResponse around that part. `controlPlane` is istiod's JSON identifier, or empty. */
export function encodeResponse(typeUrl: string, nonce: string, content: Uint8Array, controlPlane: string): Uint8Array {
  const writer = new BinaryWriter();
  writer.raw(content);
  writer.tag(RESPONSE.typeUrl, WireType.LengthDelimited).string(typeUrl);
  writer.tag(RESPONSE.nonce, WireType.LengthDelimited).string(nonce);
  if (controlPlane !== "") {
    writer.tag(RESPONSE.controlPlane, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(controlPlane);
    writer.join();
  }
  return writer.finish();
}
