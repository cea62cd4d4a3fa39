import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { loadNativeCurve } from '@tkms/curve-native'
import { type Authorization, createPartial, equalBytes, nobleCurve } from '@tkms/dkg'
import { memoryLedger } from './audit.ts'
import { createClientSteps } from './client-combine.ts'
import { createFerveo } from './peers/ferveo.ts'
import { createSeal } from './peers/seal.ts'
import { createSingleKey } from './peers/single-key.ts'
import { createUmbral } from './peers/umbral.ts'
import { createServingNode } from './serving-node.ts'
import { createSharedKey, received } from './shared-key.ts'
import { median } from './statistics.ts'

/** Microseconds of what this project and its peers do for the same purpose, 3 of 5, on one core of this machine, timed in turn. */
export interface PeerCosts {
  readonly backend: 'libsecp256k1' | 'noble'
  readonly us: Readonly<Record<PeerStep, number>>
  /** How many times as long a peer takes: the middle of the rounds' own ratios. */
  readonly ratios: {
    /** Umbral's re-encryption, which proves it, to a partial decryption with its proof. */
    readonly umbral_reencrypt_to_partial: number
    /** Ferveo's decryption share, which carries no proof, to a node's complete answer. */
    readonly ferveo_share_to_answer: number
    /** The same to one item of a complete answer to a batch of 16. */
    readonly ferveo_share_to_batched: number
    /** Umbral's decryption with verified fragments to an envelope opened, which tells whether the partials were right. */
    readonly umbral_decrypt_to_open: number
    /** The same to an envelope opened after all proofs were verified. */
    readonly umbral_decrypt_to_proven: number
    /** Umbral's decryption from received fragments, proofs verified, to the same here. */
    readonly umbral_received_to_proven: number
    readonly ferveo_decrypt_to_open: number
    readonly seal_decrypt_to_proven: number
    readonly seal_again_to_open: number
    /** One key in one place, in JavaScript, to a node's complete answer. */
    readonly single_key_to_answer: number
  }
}

export type PeerStep =
  | 'partial'
  | 'answer'
  | 'batched'
  | 'open'
  | 'proven'
  | 'umbral_reencrypt'
  | 'umbral_decrypt'
  | 'umbral_received'
  | 'ferveo_share'
  | 'ferveo_decrypt'
  | 'seal_decrypt'
  | 'seal_again'
  | 'single_key_decrypt'

interface Step {
  readonly name: PeerStep
  /** In one round. */
  readonly count: number
  /** What one run is made of; a time is per item. */
  readonly items?: number
  readonly run: () => unknown
}

const N = 5
const T = 3
/** Items of a request. */
const BATCH = 16
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

/**
 * Everything is in this process and uses one core: no transport, and of answers no opening of their RSA boxes.
 * The peers are what their packages are: Rust compiled to WebAssembly, or JavaScript. Each of their results is compared with what was encrypted.
 * @param options.calls how many times each quick step runs in one round; slow ones run less
 */
export async function benchPeers(options: { readonly rounds: number; readonly calls: number }): Promise<PeerCosts> {
  const { rounds, calls } = options
  const curve = loadNativeCurve() ?? nobleCurve
  const steps = [...(await ownSteps(curve, { rounds, calls })), ...(await peerSteps(calls))]
  const timings = new Map<PeerStep, number[]>(steps.map(({ name }) => [name, []]))
  for (const step of steps) await timeStep({ ...step, count: 1 })
  for (let round = 0; round < rounds; round++)
    for (const step of steps) timings.get(step.name)?.push(await timeStep(step))
  const ratio = (peer: PeerStep, own: PeerStep): number =>
    median((timings.get(peer) ?? []).map((us, round) => us / (timings.get(own)?.[round] ?? NaN)))
  return {
    backend: curve === nobleCurve ? 'noble' : 'libsecp256k1',
    us: Object.fromEntries([...timings].map(([name, us]) => [name, median(us)])) as Record<PeerStep, number>,
    ratios: {
      umbral_reencrypt_to_partial: ratio('umbral_reencrypt', 'partial'),
      ferveo_share_to_answer: ratio('ferveo_share', 'answer'),
      ferveo_share_to_batched: ratio('ferveo_share', 'batched'),
      umbral_decrypt_to_open: ratio('umbral_decrypt', 'open'),
      umbral_decrypt_to_proven: ratio('umbral_decrypt', 'proven'),
      umbral_received_to_proven: ratio('umbral_received', 'proven'),
      ferveo_decrypt_to_open: ratio('ferveo_decrypt', 'open'),
      seal_decrypt_to_proven: ratio('seal_decrypt', 'proven'),
      seal_again_to_open: ratio('seal_again', 'open'),
      single_key_to_answer: ratio('single_key_decrypt', 'answer'),
    },
  }
}

async function timeStep({ count, items = 1, run }: Step): Promise<number> {
  const startMs = performance.now()
  for (let n = 0; n < count; n++) {
    const result = run()
    if (result instanceof Promise) await result
  }
  return ((performance.now() - startMs) * 1000) / (count * items)
}

async function ownSteps(
  curve: typeof nobleCurve,
  { rounds, calls }: { readonly rounds: number; readonly calls: number },
): Promise<readonly Step[]> {
  const key = createSharedKey({ n: N, t: T })
  const { K, shares } = received(curve, key)
  const [holder] = key.holders
  const [verificationShare] = shares
  if (holder === undefined || verificationShare === undefined) throw new Error('t holders were made')
  const { share, ctx } = holder
  const client = createClientSteps(curve, key)

  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const node = createServingNode(curve, { spki, ledger: memoryLedger() })
  // A node answers a request once: as many are made as are asked, before anything is timed, and enough that what answers them is compiled.
  const warmUp = 15 * calls
  const batches = Math.ceil(calls / BATCH)
  const singles = Array.from({ length: warmUp + 1 + rounds * calls }, () => node.request(1))
  const batched = Array.from({ length: 1 + rounds * batches }, () => node.request(BATCH))
  const { signal } = new AbortController()
  const answer = async (requests: Authorization[]): Promise<void> => {
    const request = requests.pop()
    if (request === undefined) throw new Error('a request was made for every answer')
    const result = await node.pipeline.handle(request, { remote: 'bench', address: '', signal })
    if (result.kind !== 'answer') throw new Error(`the node refused: ${result.code}`)
  }
  for (let n = 0; n < warmUp; n++) await answer(singles)
  return [
    {
      name: 'partial',
      count: calls,
      run: () => createPartial(curve, { share, verificationShare, K, ctx, aux: random(32) }),
    },
    { name: 'answer', count: calls, run: () => answer(singles) },
    { name: 'batched', count: batches, items: BATCH, run: () => answer(batched) },
    { name: 'open', count: calls, run: client.open },
    { name: 'proven', count: calls, run: client.proven },
  ]
}

async function peerSteps(calls: number): Promise<readonly Step[]> {
  const plaintext = random(64)
  const input = { n: N, t: T, plaintext }
  const umbral = await createUmbral(input)
  const ferveo = await createFerveo(input)
  const seal = await createSeal(input)
  const singleKey = createSingleKey(plaintext)
  const check = (result: Uint8Array): void => {
    if (!equalBytes(result, plaintext)) throw new Error('a peer opened something else')
  }
  const few = Math.max(1, Math.ceil(calls / 20))
  return [
    { name: 'umbral_reencrypt', count: calls, run: umbral.reencrypt },
    { name: 'umbral_decrypt', count: calls, run: () => check(umbral.decryptVerified()) },
    { name: 'umbral_received', count: calls, run: () => check(umbral.decryptReceived()) },
    { name: 'ferveo_share', count: few, run: ferveo.share },
    { name: 'ferveo_decrypt', count: few, run: () => check(ferveo.decryptReceived()) },
    { name: 'single_key_decrypt', count: calls, run: () => check(singleKey.decrypt()) },
    { name: 'seal_decrypt', count: few, run: async () => check(await seal.decrypt()) },
    { name: 'seal_again', count: few, run: async () => check(await seal.decryptAgain()) },
  ]
}
