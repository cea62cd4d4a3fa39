import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Secret } from '@tkms/dkg'
import { createEd25519Signer, type KmsClient, type SealedEnvelope } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { createTlsIdentity } from '../../packages/kms-node/src/identity/tls-certificate.ts'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { fillDisk, onSmallDisk, seenThrough } from '../support/small-disk.ts'
import { type Machines, mintMachines } from '../attest/machines.ts'
import { createCalls } from './calls.ts'
import { type Firing, type Prometheus, startPrometheus } from './prometheus.ts'
import { readRules, shortenedRules } from './rules.ts'

const KEY = 'ecies/watched'
const SCRAPE_SECONDS = 2
const HOLDS_SECONDS = 5
const RANGE_SECONDS = 20
const LOOK_MS = 500
const FIRES_WITHIN_MS = 90_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SKEW_MS = 20 * DAY_MS
/** Longer than proofs hold that this node has seen, shorter than the day after which it forgets them. */
const JUMP_MS = 18 * HOUR_MS
const SKEW = fileURLToPath(new URL('../support/clock-skew.ts', import.meta.url))
/** Certificates of nodes are made for ten years. */
const NEARLY_OVER_MS = (10 * 365 - 3) * DAY_MS

export interface AlertsReport {
  readonly rules: readonly string[]
  readonly fired: readonly string[]
  /** What fired while all was well: "TkmsNodeDown 127.0.0.1:7443". */
  readonly falseAlarms: readonly string[]
  /** Decryptions while all was well. */
  readonly healthyRequests: number
  readonly problems: readonly string[]
}

/** What the fourth and the third node start with next. */
interface Launch {
  skewed: boolean
  small: boolean
}

/** A real cluster of four nodes that want each other's proof, of which two must answer, and a real Prometheus with the shipped rules. */
export async function watchAlerts(options: {
  readonly healthySeconds: number
  readonly log: (line: string) => void
}): Promise<AlertsReport> {
  const { log } = options
  const rules = (await readRules()).map(({ alert }) => alert)
  const launch: Launch = { skewed: false, small: false }
  const cluster: TestCluster = await createTestCluster({
    n: 4,
    t: 2,
    tls: true,
    environment: { TKMS_CEREMONY_PHASE_BASE_MS: '2000' },
    launcher: (index) => {
      if (index === 3 && launch.small) return onSmallDisk(cluster.node(3).directory)
      if (index !== 4 || !launch.skewed) return []
      return ['env', `NODE_OPTIONS=--import=${SKEW}`, `TKMS_TEST_SKEW_MS=${SKEW_MS}`, `TKMS_TEST_JUMP_MS=${JUMP_MS}`]
    },
  })
  const machines = mintMachines(Date.now())
  await Promise.all(cluster.nodes.map((node) => machines.equip(node.directory)))
  let prometheus: Prometheus | undefined
  let client: KmsClient | undefined
  try {
    const targets = cluster.nodes.map(({ url }) => new URL(url).host)
    prometheus = await startPrometheus({
      directory: join(cluster.directory, 'prometheus'),
      targets,
      rules: await shortenedRules(HOLDS_SECONDS, RANGE_SECONDS),
      scrapeSeconds: SCRAPE_SECONDS,
    })
    const watch = createWatch(prometheus, log)
    log('four nodes without a key ...')
    await Promise.all(cluster.nodes.map((node) => node.start()))
    await watch.fires(['TkmsNotServing'])
    await within(makeKey(cluster.nodes, KEY))
    const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
    client = await createNodeKmsClient({ cluster: await cluster.file(), signer })
    const allowed = await client.encrypt(new Uint8Array(32), { key: KEY, owners: [signer.publicKeyId] })
    const forbidden = await client.encrypt(new Uint8Array(32), { key: KEY })
    await watch.silence()
    log(`all is well for ${options.healthySeconds} s ...`)
    const healthy = createCalls(client, allowed)
    const falseAlarms = await watch.during(1000 * options.healthySeconds)
    const { answered: healthyRequests, failed } = await healthy.stop()
    await causeAll({ cluster, client, watch, launch, machines, allowed, forbidden })
    const problems = [
      ...(await prometheus.ruleErrors()),
      ...(failed === 0 ? [] : [`${failed} decryptions failed while all was well`]),
    ]
    return { rules, fired: rules.filter((rule) => watch.fired.has(rule)), falseAlarms, healthyRequests, problems }
  } finally {
    await client?.close()
    await prometheus?.stop()
    await cluster.dispose()
  }
}

interface Causing {
  readonly cluster: TestCluster
  readonly client: KmsClient
  readonly watch: Watch
  readonly launch: Launch
  readonly machines: Machines
  readonly allowed: SealedEnvelope
  readonly forbidden: SealedEnvelope
}

/** Each condition after the other, the worst one last. */
async function causeAll({ cluster, client, watch, launch, machines, allowed, forbidden }: Causing): Promise<void> {
  const [first, second, third, fourth] = [cluster.node(1), cluster.node(2), cluster.node(3), cluster.node(4)]
  const refusals = createCalls(client, forbidden)
  const ofDebugMode = ['TkmsOwnAttestationFails', 'TkmsPeerRefused', 'TkmsPeerDisconnected']
  await watch.expect(['TkmsRefusalsRise', 'TkmsPolicyRefused', 'TkmsEvidenceFound', ...ofDebugMode], async () => {
    await writeFile(join(first.directory, 'policy.yaml'), 'version: 1\nkeys: {}\nnothing: like this\n')
    await leaveEvidence(first)
    await machines.place(fourth.directory, 'debug')
    await fourth.stop()
    await fourth.start()
  })
  await refusals.stop()
  await watch.expect(['TkmsNodeDown'], async () => {
    await fourth.stop()
    await within(makeKey([first, second, third], 'ecies/without-the-fourth'))
  })
  await serveOldCertificate(fourth)
  await machines.place(fourth.directory, 'good')
  await machines.expire(fourth.directory, Date.now() + SKEW_MS + 12 * HOUR_MS)
  launch.skewed = true
  await watch.expect(
    [
      'TkmsShareMissing',
      'TkmsClockWrong',
      'TkmsRefreshOverdue',
      'TkmsTlsCertificateExpires',
      'TkmsTlsKeyNotPinned',
      'TkmsProposalWaits',
      'TkmsCeremonyStalled',
      'TkmsAttestationEnds',
      'TkmsExpiredPeerKept',
    ],
    async () => {
      await fourth.start()
      await within(connected(fourth, cluster.nodes.length - 1))
      process.kill(fourth.pid, 'SIGUSR2')
      await (await first.admin()).post('/ceremonies', { keyName: 'ecies/nobody-approves' })
    },
  )
  const releases = createCalls(client, allowed)
  await watch.expect(['TkmsAuditNotRecording', 'TkmsStoreNotWritable', 'TkmsDiskNearlyFull'], async () => {
    launch.small = true
    await Promise.all([fourth.kill(), third.stop()])
    await third.start()
    await fillDisk(seenThrough(third.pid, join(third.directory, 'filler')))
  })
  await releases.stop()
  await watch.expect(['TkmsNoSpareMember'], () => third.kill())
  await watch.expect(['TkmsQuorumLost'], () => second.kill())
}

/** @throws Error when it takes too long */
async function within<T>(work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const limit = passed(FIRES_WITHIN_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error('a step of the test takes too long')
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    over.abort()
    await limit.catch(() => undefined)
  }
}

/** Resolves when so many peers have proven themselves to it. */
async function connected(node: TestNode, peers: number): Promise<void> {
  const admin = await node.admin()
  for (;;) {
    const status = (await admin.get('/status')) as { readonly peersConnected: readonly number[] }
    if (status.peersConnected.length === peers) return
    await passed(LOOK_MS)
  }
}

/** What a node writes when another one broke the protocol. */
async function leaveEvidence(node: TestNode): Promise<void> {
  const directory = join(node.directory, 'evidence')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const name = `${'00'.repeat(32)}-E2-2`
  await writeFile(join(directory, `${name}.bin`), new Uint8Array(1))
  await writeFile(join(directory, `${name}.json`), '{}')
}

/** From its next start on, under another key than the cluster file names, for three days more. */
async function serveOldCertificate(node: TestNode): Promise<void> {
  const { key, cert } = await createTlsIdentity('test', ['127.0.0.1'], Date.now() - NEARLY_OVER_MS)
  const [certFile, keyFile] = [join(node.directory, 'old.crt'), join(node.directory, 'old.key')]
  await writeFile(certFile, cert)
  await writeFile(
    keyFile,
    key.use((pem) => Uint8Array.from(pem)),
    { mode: 0o600 },
  )
  const file = join(node.directory, 'node.yaml')
  const settings = await readFile(file, 'utf8')
  await writeFile(
    file,
    settings.replace('http:\n', `http:\n  tlsCertFile: '${certFile}'\n  tlsKeyFile: '${keyFile}'\n`),
  )
}

interface Watch {
  /** Every rule that has fired so far. */
  readonly fired: ReadonlySet<string>
  /** Resolves when all of these have fired since now. @throws Error when they do not in time */
  fires(names: readonly string[]): Promise<void>
  /** The same since `cause`, which waits until none of them fires. @throws Error when one goes on firing, or they do not in time */
  expect(names: readonly string[], cause: () => Promise<unknown>): Promise<void>
  /** Resolves when nothing fires any more. */
  silence(): Promise<void>
  /** @returns what fires meanwhile, each once */
  during(forMs: number): Promise<readonly string[]>
}

function createWatch(prometheus: Prometheus, log: (line: string) => void): Watch {
  const fired = new Set<string>()
  const look = async (): Promise<readonly Firing[]> => {
    const firing = await prometheus.firing()
    for (const { name } of firing) {
      if (!fired.has(name)) log(`fires: ${name}`)
      fired.add(name)
    }
    return firing
  }
  const until = async (done: (firing: readonly Firing[]) => boolean, what: () => string): Promise<void> => {
    const endMs = performance.now() + FIRES_WITHIN_MS
    while (!done(await look())) {
      if (performance.now() > endMs) throw new Error(what())
      await passed(LOOK_MS)
    }
  }
  const fires = async (names: readonly string[]): Promise<void> => {
    const missing = new Set(names)
    await until(
      (firing) => {
        for (const { name } of firing) missing.delete(name)
        return missing.size === 0
      },
      () => `does not fire: ${[...missing].join(', ')}`,
    )
  }
  return {
    fired,
    fires,
    expect: async (names, cause) => {
      await until(
        (firing) => !firing.some(({ name }) => names.includes(name)),
        () => `one of these fires before its cause: ${names.join(', ')}`,
      )
      await cause()
      await fires(names)
    },
    silence: () =>
      until(
        (firing) => firing.length === 0,
        () => 'an alert goes on firing when all is well',
      ),
    during: async (forMs) => {
      const seen = new Set<string>()
      for (const endMs = performance.now() + forMs; performance.now() < endMs; await passed(LOOK_MS))
        for (const { name, instance } of await look()) seen.add(`${name} ${instance}`)
      return [...seen]
    },
  }
}
