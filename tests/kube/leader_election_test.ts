import assert from "node:assert/strict";
import { LeaderElection, RESOURCES } from "../../src/kube/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab } from "../support/istiod_lab.ts";

const quiet = new Logger("election", { sink: { write: () => {} } });
const TIMING = { leaseMs: 1_000, renewMs: 600, retryMs: 60 };

class Candidate {
  leading = 0;
  terms = 0;
  readonly election: LeaderElection;

  constructor(lab: ApiLab, identity: string, client = lab.client, timing = TIMING) {
    this.election = new LeaderElection({
      client,
      namespace: "default",
      name: "lock",
      identity,
      logger: quiet,
      timing,
      lead: async (signal) => {
        this.leading++;
        this.terms++;
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        this.leading--;
      },
    });
    this.election.start();
  }
}

const lease = (lab: ApiLab) => lab.client.get(RESOURCES.leases, "default", "lock");

Deno.test("LeaderElection has one leader, at once, and another when it gives up", async () => {
  await using lab = await ApiLab.start({ mesh: false });
  const candidates = ["a", "b", "c"].map((name) => new Candidate(lab, name));
  const leaders = () => candidates.filter(({ leading }) => leading > 0);
  try {
    await eventually(() => assert.equal(leaders().length, 1));
    const [first] = leaders();
    const held = await lease(lab);
    assert.equal(held?.spec.leaseDurationSeconds, 1);
    assert.match(held?.spec.renewTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    await eventually(async () => assert.notEqual((await lease(lab))?.spec.renewTime, held?.spec.renewTime, "renewed"));
    assert.equal(candidates.reduce((sum, { terms }) => sum + terms, 0), 1);

    await first.election.stop();
    await eventually(() => assert.equal(leaders().length, 1));
    assert.notEqual(leaders()[0], first);
    assert.equal((await lease(lab))?.spec.leaseTransitions >= 1, true);
  } finally {
    await Promise.all(candidates.map(({ election }) => election.stop()));
  }
  assert.equal((await lease(lab))?.spec.holderIdentity, "", "given back");
});

Deno.test("LeaderElection waits for a holder that was killed, and resumes its own lease at once", async () => {
  await using lab = await ApiLab.start({ mesh: false });
  const now = new Date().toISOString().replace("Z", "000Z");
  await lab.client.create(RESOURCES.leases, {
    metadata: { namespace: "default", name: "lock" },
    spec: { holderIdentity: "dead", leaseDurationSeconds: 1, acquireTime: now, renewTime: now, leaseTransitions: 4 },
  });
  const again = new Candidate(lab, "dead"), other = new Candidate(lab, "other");
  try {
    await eventually(() => assert.equal(again.leading, 1));
    assert.equal((await lease(lab))?.spec.leaseTransitions, 4, "the same holder");
    assert.equal(other.leading, 0);
    again.election.stop();
    await eventually(() => assert.equal(other.leading, 1));
    assert.equal((await lease(lab))?.spec.leaseTransitions, 5);
  } finally {
    await Promise.all([again.election.stop(), other.election.stop()]);
  }
});

Deno.test("LeaderElection takes a lease that nobody renews, long-dead ones without waiting", async () => {
  await using lab = await ApiLab.start({ mesh: false });
  const write = (renewTime: Date, leaseDurationSeconds: number) =>
    lab.client.create(RESOURCES.leases, {
      metadata: { namespace: "default", name: "lock" },
      spec: { holderIdentity: "dead", leaseDurationSeconds, renewTime: renewTime.toISOString().replace("Z", "000Z") },
    });
  await write(new Date(), 1);
  const patient = new Candidate(lab, "a");
  await eventually(() => assert.equal(patient.leading, 1));
  await patient.election.stop();
  await lab.client.delete(RESOURCES.leases, "default", "lock");
  // Its word is for an hour, from two hours ago: waiting that hour out would never end here.
  await write(new Date(Date.now() - 2 * 3600_000), 3600);
  const heir = new Candidate(lab, "b");
  await eventually(() => assert.equal(heir.leading, 1));
  await heir.election.stop();
});

Deno.test("LeaderElection stops leading when it cannot renew, and leads again when it can", async () => {
  await using lab = await ApiLab.start({ mesh: false });
  const candidate = new Candidate(lab, "a");
  await eventually(() => assert.equal(candidate.leading, 1));
  await lab.pause();
  await eventually(() => assert.equal(candidate.leading, 0));
  assert.equal(candidate.election.leading, false);
  await lab.resume();
  await eventually(() => assert.equal(candidate.leading, 1));
  assert.equal(candidate.terms, 2);
  await candidate.election.stop();
});
