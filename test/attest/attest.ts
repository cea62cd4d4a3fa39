import { setTimeout as passed } from 'node:timers/promises'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { type ReplayingHost, startLyingHost, startReplayingHost } from './hosts.ts'
import { type MachineKind, type Machines, mintMachines } from './machines.ts'

const GOOD = 5
const THRESHOLD = 3
/** Members whose machines are not as they should be; a key is made without them, as n - f = 5. */
const BAD = 2
const PATIENCE_MS = 60_000
const LOOK_MS = 50
const PLAINTEXT = new TextEncoder().encode('opened by those who have proven themselves')
const ENVIRONMENT = { TKMS_CEREMONY_PHASE_BASE_MS: '1500', TKMS_CEREMONY_STARTUP_WAIT_MS: '2000' }

/** How a member is not what it should be. */
export type Flaw = Exclude<MachineKind, 'good'> | 'report_data' | 'replayed'

export interface AttestReport {
  /** Pairs (a, b) of good nodes where a has verified b. */
  readonly accepted: number
  /** Good nodes that refused the member for just this, and told it so. */
  readonly refused: Readonly<Record<Flaw, number>>
  /** Whatever was not as it should be, in words. */
  readonly wrong: readonly string[]
}

/** What both sides of a refusal have in their logs, and count. */
interface Refusal {
  readonly reason: string
  readonly toldReason: string
}

const reasonOf = (flaw: Flaw): string => flaw.replace('_', '-')

/**
 * Seven members of one committee as processes, each of which wants the others' proof. Five run on good machines and make keys, thrice
 * with two others: on machines that are not as they should be, then on good ones whose hosts misuse them. Those two get no share and no
 * connection.
 */
export async function runAttest(log: (line: string) => void): Promise<AttestReport> {
  const cluster = await createTestCluster({ n: GOOD + BAD, t: THRESHOLD, environment: ENVIRONMENT })
  const wrong: string[] = []
  const refused = { measurement: 0, report_data: 0, expired: 0, revoked: 0, debug: 0, replayed: 0 }
  const good = cluster.nodes.slice(0, GOOD)
  const bad = cluster.nodes.slice(GOOD)
  const machines = mintMachines(Date.now())
  const stops: (() => Promise<void>)[] = []
  const rounds: readonly (readonly [Flaw, Flaw])[] = [
    ['measurement', 'expired'],
    ['revoked', 'debug'],
    ['report_data', 'replayed'],
  ]
  try {
    await Promise.all(cluster.nodes.map((node) => machines.equip(node.directory)))
    await Promise.all(good.map((node) => node.start()))
    for (const [at, flaws] of rounds.entries()) {
      const keyName = `ecies/attested-${at}`
      const badOnes = bad.map((node, which): BadOne => ({ node, flaw: flaws[which] ?? 'measurement' }))
      const counts = await badMachines({ good, badOnes, machines, stops }, wrong)
      flaws.forEach((flaw, which) => (refused[flaw] = counts[which] ?? 0))
      await makeKeyWithout(good, badOnes, keyName, wrong)
      await decryptThrough(cluster, keyName, wrong)
      if (at === 0) await askDoctor(cluster, badOnes, wrong)
      await Promise.all(bad.map((node) => node.stop()))
      log(`${flaws.join(' and ')} kept out, a key made and used without them`)
    }
    return { accepted: countAccepted(good), refused, wrong }
  } finally {
    await cluster.dispose()
    for (const stop of stops) await stop()
  }
}

interface BadOne {
  readonly node: TestNode
  readonly flaw: Flaw
}

interface Round {
  readonly good: readonly TestNode[]
  readonly badOnes: readonly BadOne[]
  readonly machines: Machines
  /** What is to be closed at the end. */
  readonly stops: (() => Promise<void>)[]
}

/** Starts the bad ones. @returns by bad node, how many good ones refused it for its flaw, with both sides knowing */
async function badMachines({ good, badOnes, machines, stops }: Round, wrong: string[]): Promise<readonly number[]> {
  const nodes = [...good, ...badOnes.map(({ node }) => node)]
  const before = new Map(nodes.map((node) => [node.name, lines(node).length]))
  const since = (node: TestNode): readonly LogLine[] => lines(node).slice(before.get(node.name))
  const refusalBy = (other: TestNode, node: TestNode): Refusal | undefined => {
    const said = since(other).find(({ msg, peer }) => msg === 'peer-attestation-refused' && peer === node.index)
    const heard = since(node).find(({ msg, peer }) => msg === 'own-attestation-refused' && peer === other.index)
    return said?.reason && heard?.reason ? { reason: said.reason, toldReason: heard.reason } : undefined
  }
  const accepted = (other: TestNode, node: TestNode): number =>
    since(other).filter(({ msg, peer }) => msg === 'peer-attested' && peer === node.index).length
  for (const { node, flaw } of badOnes) {
    const hosted = await placeOn(machines, node, { flaw, good })
    await node.start()
    if (hosted === undefined) continue
    stops.push(() => hosted.close())
    if (!('open' in hosted)) continue
    for (const other of good) {
      hosted.open(other)
      await until(() => accepted(other, node) > 0, `${other.name} takes an honest proof`)
      hosted.cut(other)
      await until(() => refusalBy(other, node) !== undefined, `${other.name} is shown an old one`)
      hosted.shut(other)
    }
    hosted.openAll()
  }
  const isKnown = ({ node }: BadOne): boolean => good.every((other) => refusalBy(other, node) !== undefined)
  await until(() => badOnes.every(isKnown), 'both sides of every refusal know why')
  const counted = async (): Promise<readonly boolean[]> =>
    Promise.all(
      badOnes.flatMap(({ node, flaw }) => [
        hasCounted(node, 'own', reasonOf(flaw)),
        ...good.map((other) => hasCounted(other, 'peer', reasonOf(flaw))),
      ]),
    )
  await until(async () => (await counted()).every(Boolean), 'both sides count every refusal')
  return badOnes.map(({ node, flaw }) => {
    const refusals = good.map((other) => refusalBy(other, node))
    const asWanted = refusals.filter(
      (refusal) => refusal?.reason === reasonOf(flaw) && refusal.toldReason === reasonOf(flaw),
    )
    if (asWanted.length < GOOD) wrong.push(`${flaw}: refused for ${JSON.stringify(refusals)}`)
    for (const other of good)
      if (accepted(other, node) !== (flaw === 'replayed' ? 1 : 0)) wrong.push(`${other.name} accepted ${node.name}`)
    return asWanted.length
  })
}

/** What plays its host, where that is what is bad about it. */
async function placeOn(
  machines: Machines,
  node: TestNode,
  { flaw, good }: { readonly flaw: Flaw; readonly good: readonly TestNode[] },
): Promise<ReplayingHost | { close(): Promise<void> } | undefined> {
  if (flaw === 'report_data') return startLyingHost(node, machines)
  if (flaw === 'replayed') return startReplayingHost(node, good, machines)
  await machines.place(node.directory, flaw)
  return undefined
}

async function hasCounted(node: TestNode, whose: 'own' | 'peer', reason: string): Promise<boolean> {
  const text = await (await fetch(`${node.url}/metrics`)).text()
  return new RegExp(`^tkms_attestation_refusals_total\\{whose="${whose}",reason="${reason}"\\} [1-9]`, 'm').test(text)
}

/** The good ones go on; the others stay without connection and share, and serve nothing. */
async function makeKeyWithout(
  good: readonly TestNode[],
  badOnes: readonly BadOne[],
  name: string,
  wrong: string[],
): Promise<void> {
  await until(async () => (await Promise.all(good.map(peersOf))).every(({ length }) => length === GOOD - 1), 'all good')
  await makeKey(good, name)
  for (const node of good)
    if ((await peersOf(node)).some((index) => index > GOOD)) wrong.push(`${node.name} is connected to a bad machine`)
  for (const { node, flaw } of badOnes) {
    if ((await peersOf(node)).length > 0) wrong.push(`${node.name}, a bad machine, is connected`)
    const { keys } = (await (await fetch(`${node.url}/v1/status`)).json()) as {
      readonly keys: readonly { readonly keyName: string; readonly serving: boolean }[]
    }
    // Where it was let in once, with a proof that held, it may have heard of earlier keys.
    const known = flaw === 'replayed' ? keys.filter(({ keyName, serving }) => keyName === name || serving) : keys
    if (known.length > 0) wrong.push(`${node.name}, a bad machine, knows ${JSON.stringify(known)}`)
    const { status } = await fetch(`${node.url}/ready`)
    if (status !== 503) wrong.push(`${node.name}, a bad machine, is ready: ${status}`)
  }
}

/** The operator of a good node is told of each of them, and by the exit code. */
async function askDoctor(cluster: TestCluster, badOnes: readonly BadOne[], wrong: string[]): Promise<void> {
  const failed = await cluster.run(['doctor', '--data-dir', cluster.node(1).directory]).then(
    () => undefined,
    (cause: unknown) => cause as { readonly code: number; readonly stdout: string },
  )
  const [report = '{"findings":[]}'] = failed?.stdout.split('\n') ?? []
  const { findings } = JSON.parse(report) as {
    readonly findings: readonly { readonly node: string; readonly level: string; readonly detail: string }[]
  }
  for (const { node, flaw } of badOnes) {
    const detail = `its proof is refused here: ${reasonOf(flaw)}`
    if (!findings.some((found) => found.node === node.name && found.level === 'failure' && found.detail === detail))
      wrong.push(`doctor does not say of ${node.name}: ${detail}`)
  }
  if (failed?.code !== 1) wrong.push('doctor finds nothing wrong')
}

async function decryptThrough(cluster: TestCluster, key: string, wrong: string[]): Promise<void> {
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const kms = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  try {
    const envelope = await kms.encrypt(PLAINTEXT, { key, owners: [signer.publicKeyId] })
    const opened = await kms.decrypt(envelope)
    if (Buffer.compare(opened, PLAINTEXT) !== 0) wrong.push('what was opened is not what was sealed')
  } finally {
    await kms.close()
  }
}

const countAccepted = (good: readonly TestNode[]): number =>
  good.flatMap((node) => {
    const accepted = lines(node).filter(({ msg, peer = 0 }) => msg === 'peer-attested' && peer <= GOOD)
    return [...new Set(accepted.map(({ peer }) => peer))]
  }).length

interface LogLine {
  readonly msg?: string
  readonly peer?: number
  readonly reason?: string
}

const lines = (node: TestNode): readonly LogLine[] =>
  node
    .log()
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine)

const peersOf = async (node: TestNode): Promise<readonly number[]> =>
  ((await (await node.admin()).get('/status')) as { readonly peersConnected: readonly number[] }).peersConnected

async function until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`)
    await passed(LOOK_MS)
  }
}
