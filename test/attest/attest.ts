import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { type MachineKind, type Machines, mintMachines } from './machines.ts'
import type { RogueReport } from './rogue.ts'

const ROGUE = join(import.meta.dirname, 'rogue.ts')
const GOOD = 5
const THRESHOLD = 3
/** Members whose machines are not as they should be; a key is made without them, as n - f = 5. */
const BAD = 2
const PATIENCE_MS = 60_000
const LOOK_MS = 50
const PLAINTEXT = new TextEncoder().encode('opened by those who have proven themselves')
const ENVIRONMENT = { TKMS_CEREMONY_PHASE_BASE_MS: '1500', TKMS_CEREMONY_STARTUP_WAIT_MS: '2000' }

/** How a member is not what it should be. */
export type Flaw = 'measurement' | 'report_data' | 'expired' | 'revoked' | 'debug' | 'replayed'

export interface AttestReport {
  /** Pairs (a, b) of good nodes where a has verified b. */
  readonly accepted: number
  /** Good nodes that refused the member for just this, and told it so. */
  readonly refused: Readonly<Record<Flaw, number>>
  /** Whatever was not as it should be, in words. */
  readonly wrong: readonly string[]
}

/** What both sides of a refusal have in their logs. */
interface Refusal {
  readonly reason: string
  readonly toldReason: string
}

/**
 * Seven members of one committee as processes, each of which wants the others' proof. Five run on good machines and make keys, twice
 * with two others running on bad ones, then with two that misuse a good machine; those two get no share and no connection.
 */
export async function runAttest(log: (line: string) => void): Promise<AttestReport> {
  const cluster = await createTestCluster({ n: GOOD + BAD, t: THRESHOLD, environment: ENVIRONMENT })
  const wrong: string[] = []
  const refused = { measurement: 0, report_data: 0, expired: 0, revoked: 0, debug: 0, replayed: 0 }
  const good = cluster.nodes.slice(0, GOOD)
  const bad = cluster.nodes.slice(GOOD)
  const machines = mintMachines(Date.now())
  const rounds: readonly (readonly [MachineKind & Flaw, MachineKind & Flaw])[] = [
    ['measurement', 'expired'],
    ['revoked', 'debug'],
  ]
  try {
    await Promise.all(cluster.nodes.map((node) => machines.equip(node.directory)))
    await Promise.all(good.map((node) => node.start()))
    for (const [at, kinds] of rounds.entries()) {
      const counts = await badMachines({ good, bad, machines, kinds }, wrong)
      kinds.forEach((kind, which) => (refused[kind] = counts[which] ?? 0))
      await makeKeyWithout(good, bad, `ecies/attested-${at}`, wrong)
      await Promise.all(bad.map((node) => node.stop()))
      log(`${kinds.join(' and ')} kept out, a key made without them`)
    }
    await Promise.all(bad.map((node) => machines.place(node.directory, 'good')))
    const [liar, replayer] = bad
    refused.report_data = await rogue(liar, 'report_data', wrong)
    refused.replayed = await rogue(replayer, 'replayed', wrong)
    log('quotes over other bytes and of other connections kept out')
    await decryptThrough(cluster, 'ecies/attested-0', wrong)
    return { accepted: countAccepted(good), refused, wrong }
  } finally {
    await cluster.dispose()
  }
}

interface Round {
  readonly good: readonly TestNode[]
  readonly bad: readonly TestNode[]
  readonly machines: Machines
  readonly kinds: readonly (MachineKind & Flaw)[]
}

/** Starts the bad ones on such machines. @returns by bad node, how many good ones refused it for that, with both sides knowing */
async function badMachines({ good, bad, machines, kinds }: Round, wrong: string[]): Promise<readonly number[]> {
  const before = new Map([...good, ...bad].map((node) => [node.name, lines(node).length]))
  const since = (node: TestNode): readonly LogLine[] => lines(node).slice(before.get(node.name))
  await Promise.all(bad.map((node, at) => machines.place(node.directory, kinds[at] ?? 'good')))
  await Promise.all(bad.map((node) => node.start()))
  const refusals = (node: TestNode): readonly Refusal[] =>
    good.flatMap((other) => {
      const said = since(other).find(({ msg, peer }) => msg === 'peer-attestation-refused' && peer === node.index)
      const heard = since(node).find(({ msg, peer }) => msg === 'own-attestation-refused' && peer === other.index)
      return said?.reason && heard?.reason ? [{ reason: said.reason, toldReason: heard.reason }] : []
    })
  await until(() => bad.every((node) => refusals(node).length === GOOD), 'both sides of every refusal know why')
  const counts = bad.map((node, at) => {
    const asWanted = refusals(node).filter(({ reason, toldReason }) => reason === kinds[at] && toldReason === kinds[at])
    if (asWanted.length < GOOD) wrong.push(`${kinds[at]}: refused for ${JSON.stringify(refusals(node))}`)
    return asWanted.length
  })
  const counted = async (): Promise<readonly boolean[]> =>
    Promise.all([
      ...bad.map((node, at) => hasCounted(node, 'own', kinds[at])),
      ...good.flatMap((other) => kinds.map((kind) => hasCounted(other, 'peer', kind))),
    ])
  await until(async () => (await counted()).every(Boolean), 'both sides count every refusal')
  for (const other of good)
    for (const { msg, peer } of since(other))
      if (msg === 'peer-attested' && bad.some(({ index }) => index === peer))
        wrong.push(`${other.name} accepted node-${peer}`)
  return counts
}

async function hasCounted(node: TestNode, whose: 'own' | 'peer', reason: string | undefined): Promise<boolean> {
  const text = await (await fetch(`${node.url}/metrics`)).text()
  return text.includes(`\ntkms_attestation_refusals_total{whose="${whose}",reason="${reason}"} `)
}

/** The good ones go on; the others stay without connection and share. */
async function makeKeyWithout(
  good: readonly TestNode[],
  bad: readonly TestNode[],
  name: string,
  wrong: string[],
): Promise<void> {
  await until(async () => (await Promise.all(good.map(peersOf))).every(({ length }) => length === GOOD - 1), 'all good')
  await makeKey(good, name)
  for (const node of good)
    if ((await peersOf(node)).some((index) => index > GOOD)) wrong.push(`${node.name} is connected to a bad machine`)
  for (const node of bad) {
    if ((await peersOf(node)).length > 0) wrong.push(`${node.name}, a bad machine, is connected`)
    const keys = (await (await node.admin()).get('/keys')) as
      | { readonly keys?: readonly unknown[] }
      | readonly unknown[]
    if ((Array.isArray(keys) ? keys : (keys as { keys: readonly unknown[] }).keys).length > 0)
      wrong.push(`${node.name}, a bad machine, knows a key`)
  }
}

/** A process with the node's identity that misuses a good machine. @returns how many good nodes refused it for just that */
async function rogue(node: TestNode | undefined, flaw: 'report_data' | 'replayed', wrong: string[]): Promise<number> {
  if (node === undefined) throw new Error('there is no such node')
  const passphrase = `${node.directory}.passphrase`
  const args = [ROGUE, '--directory', node.directory, '--mode', flaw, '--peers', `${GOOD}`]
  const env = { ...process.env, ...ENVIRONMENT, TKMS_SEALER_SCRYPT_LOG_N: '10', TKMS_PASSPHRASE_FILE: passphrase }
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: PATIENCE_MS })
  const reports = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RogueReport)
  const reason = flaw === 'report_data' ? 'report-data' : flaw
  const asWanted = reports.filter((report) => report.reason === reason && report.cut)
  if (asWanted.length < GOOD) wrong.push(`${flaw}: ${JSON.stringify(reports)}`)
  return asWanted.length
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
