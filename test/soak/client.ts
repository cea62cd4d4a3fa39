import { readFile } from 'node:fs/promises'
import { equalBytes, Secret } from '@tkms/dkg'
import {
  createEd25519Signer,
  createRequesterKey,
  type KmsClient,
  type KmsClientOptions,
  type SealedEnvelope,
} from '@tkms/kms-client'
import { createNodeKmsClient, libp2p } from '@tkms/kms-client/node'
import type { ClientPlan, Order, Report } from './plan.ts'

/** One client: `node client.ts PLAN-FILE`. Does what its parent tells it, until the parent goes. */

const ENVELOPES = 16
const BATCH = 4
const CANCELLED_AFTER_MS = 2
/** Requests are forgotten by the nodes two minutes after this. */
const LIFETIME_SECONDS = 5
const TICK_MS = 10
/** So often a client comes and goes at first, so that what does that is compiled before anything is measured. */
const FIRST_VISITS = 40
/** Of so many calls, one is each of these; the others open one envelope. */
const ROUND = 20
const BATCH_AT = 5
const REFUSED_AT = 10
const CANCELLED_AT = 15

const [, , file = ''] = process.argv
const plan = JSON.parse(await readFile(file, 'utf8')) as ClientPlan
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const signer = createEd25519Signer(new Secret(bytesOf(plan.seed)))
const stranger = createEd25519Signer(new Secret(bytesOf(plan.strangerSeed)))
const options: KmsClientOptions = {
  cluster: plan.cluster,
  signer,
  requesterKey: await createRequesterKey(),
  limits: { requestLifetimeSeconds: LIFETIME_SECONDS },
}
const transport = (): Pick<KmsClientOptions, 'transport'> =>
  plan.transport === 'libp2p' ? { transport: libp2p() } : {}
const client = await createNodeKmsClient({ ...options, ...transport() })
const plaintexts = Array.from({ length: ENVELOPES }, (_, n) => new TextEncoder().encode(`still opened, ${n}`))
const own = await Promise.all(plaintexts.map((plaintext) => seal(plaintext, signer.publicKeyId)))
const foreign = await seal(new Uint8Array(8), stranger.publicKeyId)
/** Given to every call, as a program does that may be told to end: nothing may stay registered on it. */
const ending = new AbortController()

let asked = 0
let done = 0
let failures: string[] = []
let timesMs: number[] = []
let order: Order = { kind: 'rest' }
const underWay = new Set<Promise<void>>()

function seal(plaintext: Uint8Array, owner: string): Promise<SealedEnvelope> {
  return client.encrypt(plaintext, { key: plan.key, owners: [owner] })
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

async function open(kms: KmsClient, at: number): Promise<void> {
  const [envelope, plaintext] = [own[at % ENVELOPES], plaintexts[at % ENVELOPES]]
  if (envelope === undefined || plaintext === undefined) throw new Error('no envelope')
  const opened = await kms.decrypt(envelope, { signal: ending.signal })
  if (!equalBytes(opened, plaintext)) throw new Error('another plaintext')
}

async function openBatch(): Promise<void> {
  let opened = 0
  for await (const outcome of client.decryptMany(own.slice(0, BATCH), { signal: ending.signal })) {
    if (!outcome.ok) throw outcome.error
    opened += 1
  }
  if (opened !== BATCH) throw new Error(`${opened} of a batch of ${BATCH} opened`)
}

async function fill(envelopes: number): Promise<void> {
  const many = Array.from({ length: envelopes }, (_, at) => own[at % ENVELOPES] ?? foreign)
  for await (const outcome of client.decryptMany(many, { concurrency: 128 }))
    if (!outcome.ok) failures.push(String(outcome.error))
  for (let visits = 0; visits < FIRST_VISITS; visits++) await visit()
}

async function beRefused(): Promise<void> {
  try {
    await client.decrypt(foreign, { signal: ending.signal })
  } catch (error) {
    if (isCode(error, 'quorum-not-reached')) return
    throw error
  }
  throw new Error("a stranger's envelope was opened")
}

/** Whether the answer or the cancelling comes first is left open. */
async function cancel(at: number): Promise<void> {
  const leaving = new AbortController()
  const timer = setTimeout(() => leaving.abort(), CANCELLED_AFTER_MS)
  const signal = AbortSignal.any([ending.signal, leaving.signal])
  try {
    const envelope = own[at % ENVELOPES]
    if (envelope !== undefined) await client.decrypt(envelope, { signal })
  } catch (error) {
    if (!isCode(error, 'cancelled')) throw error
  } finally {
    clearTimeout(timer)
  }
}

function callOf(at: number): Promise<void> {
  if (at % ROUND === BATCH_AT) return openBatch()
  if (at % ROUND === REFUSED_AT) return beRefused()
  if (at % ROUND === CANCELLED_AT) return cancel(at)
  return open(client, at)
}

function ask(): void {
  const startMs = performance.now()
  const call = callOf(asked++).then(() => {
    done += 1
    timesMs.push(performance.now() - startMs)
  })
  keepUnderWay(call, () => {
    if (order.kind === 'saturate') ask()
  })
}

/** Nothing rests until it has ended. */
function keepUnderWay(work: Promise<void>, next?: () => void): void {
  const ended = work
    .catch((error: unknown) => void failures.push(String(error)))
    .finally(() => {
      underWay.delete(ended)
      next?.()
    })
  underWay.add(ended)
}

/** A client that comes, asks and goes: its connections must leave nothing behind, on either side. */
async function visit(): Promise<void> {
  const visitor = await createNodeKmsClient({ ...options, ...transport() })
  try {
    await open(visitor, 0)
  } finally {
    await visitor.close()
  }
}

function pace(mine: Order, perSecond: number): void {
  const startMs = performance.now()
  let given = 0
  const timer = setInterval(() => {
    if (order !== mine) return clearInterval(timer)
    for (const due = ((performance.now() - startMs) / 1000) * perSecond; given < due; given++) ask()
  }, TICK_MS)
}

async function rest(): Promise<void> {
  while (underWay.size > 0) await Promise.all(underWay)
  await visit().catch((error: unknown) => failures.push(String(error)))
  const medianMs = timesMs.toSorted((left, right) => left - right)[Math.floor(timesMs.length / 2)] ?? 0
  process.send?.({ kind: 'rested', done, failures: [...new Set(failures)], medianMs } satisfies Report)
  done = 0
  failures = []
  timesMs = []
}

process.on('disconnect', () => process.exit(0))
process.on('message', (next: Order) => {
  order = next
  if (next.kind === 'saturate') for (let n = 0; n < next.underWay; n++) ask()
  else if (next.kind === 'fill') keepUnderWay(fill(next.envelopes))
  else if (next.kind === 'pace') pace(next, next.perSecond)
  else void rest()
})
process.send?.('ready')
