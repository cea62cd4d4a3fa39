import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { loadNativeCurve } from '@tkms/curve-native'
import {
  type ClusterId,
  nobleCurve,
  type NodePublicKey,
  participantIndex,
  Secret,
  type VerifyMessage,
  verifyEd25519,
} from '@tkms/dkg'
import { type KeygenMember, type KeygenRun, runKeygen } from '@tkms/dkg/testing'
import { createSigner } from '@tkms/kms-node/serve'
import { type CeremonyFloor, createFloorSampler, type FloorSampler } from './ceremony-floor.ts'
import { median } from './statistics.ts'

/**
 * One key generation of the real engines with real signatures, all in this process: what the protocol itself costs a node, without
 * transport, disk, acknowledgements and STATUS. Times are of the processor, for one node, on average.
 */
export interface CeremonyCost {
  readonly n: number
  readonly t: number
  readonly cpu_ms_per_node: number
  /** The bare operations on the curve and of Ed25519 that the protocol asks of a node. */
  readonly floor_ms_per_node: number
  /** cpu / floor. */
  readonly ratio: number
  /** The same without the verification of signatures, which is most of both: the share of Ed25519 hides nothing here. */
  readonly curve_ms_per_node: number
  readonly curve_floor_ms_per_node: number
  readonly curve_ratio: number
  /** Signatures that one node verifies; the protocol asks for 5 (n - 1) and JOINSET and PROPOSE. */
  readonly verified_per_node: number
  /** Signed messages one node sends and receives, and their bytes. */
  readonly messages_per_node: number
  readonly kib_per_node: number
}

const seedOf = (...parts: readonly (string | number)[]): Uint8Array => sha256(new TextEncoder().encode(parts.join('/')))

const memberOf = (index: number): KeygenMember => {
  const secret = seedOf('bench identity', index)
  const publicKey = ed25519.getPublicKey(secret) as NodePublicKey
  return { index: participantIndex(index), publicKey, sign: createSigner(new Secret(secret)) }
}

interface Measured {
  readonly run: KeygenRun
  /** Of the processor, per node. */
  readonly cpuMs: number
  readonly curveMs: number
  readonly floor: CeremonyFloor
  /** Signatures, by all nodes. */
  readonly verified: number
}

/** Times of parts are taken from the clock, between the messages of the ceremony, and scaled to what the processor worked. */
function measureKeygen(members: readonly KeygenMember[], t: number, sampler: FloorSampler): Measured {
  const n = members.length
  let verifyMs = 0
  let verified = 0
  const sampleEvery = Math.max(1, Math.floor((5 * n * (n - 1)) / (FLOORS_PER_RUN * n)))
  const verify: VerifyMessage = (...signed) => {
    const startMs = performance.now()
    const holds = verifyEd25519(...signed)
    verifyMs += performance.now() - startMs
    verified += 1
    if (verified % sampleEvery === 0) sampler.sample()
    return holds
  }
  const startMs = performance.now()
  const before = process.cpuUsage()
  const run = runKeygen({
    curve: loadNativeCurve() ?? nobleCurve,
    members,
    t,
    clusterId: seedOf('bench cluster', n) as ClusterId,
    seedOf: (index, use) => new Secret(seedOf('bench seed', n, index, use)),
    verify,
  })
  const { user, system } = process.cpuUsage(before)
  const allMs = performance.now() - startMs
  for (const share of run.shares.values()) share.destroy()
  const busy = (user + system) / 1000 / allMs
  const ceremonyMs = allMs - sampler.tookMs
  const { curveMs, signaturesMs } = sampler.floor()
  return {
    run,
    cpuMs: (ceremonyMs * busy) / n,
    curveMs: ((ceremonyMs - verifyMs) * busy) / n,
    floor: { curveMs: curveMs * busy, signaturesMs: signaturesMs * busy },
    verified,
  }
}

/** How often the floor of one node is measured during a ceremony. */
const FLOORS_PER_RUN = 3

/** Small committees are measured several times, all after one that warms the compiler up. */
export function benchCeremony(n: number, t: number): CeremonyCost {
  const members = Array.from({ length: n }, (_, at) => memberOf(at + 1))
  const sign = members[0]?.sign
  if (sign === undefined) throw new RangeError('a committee has members')
  measureKeygen(members.slice(0, 7), 3, createFloorSampler(7, 3, sign))
  const measured = Array.from({ length: Math.ceil(16 / n) }, () =>
    measureKeygen(members, t, createFloorSampler(n, t, sign)),
  )
  const [first] = measured
  if (first === undefined) throw new RangeError('there is a round')
  const cpu = median(measured.map(({ cpuMs }) => cpuMs))
  const curve = median(measured.map(({ curveMs }) => curveMs))
  const curveFloor = median(measured.map(({ floor: { curveMs } }) => curveMs))
  const floor = curveFloor + median(measured.map(({ floor: { signaturesMs } }) => signaturesMs))
  const { messages } = first.run
  const bytes = messages.reduce((sum, { length }) => sum + length, 0)
  // Every message goes to n - 1 members: sent by one of n, received by each other.
  const share = (2 * (n - 1)) / n
  return {
    n,
    t,
    cpu_ms_per_node: round(cpu),
    floor_ms_per_node: round(floor),
    ratio: round(cpu / floor),
    curve_ms_per_node: round(curve),
    curve_floor_ms_per_node: round(curveFloor),
    curve_ratio: round(curve / curveFloor),
    verified_per_node: Math.round(first.verified / n),
    messages_per_node: Math.round(messages.length * share),
    kib_per_node: Math.round((bytes * share) / 1024),
  }
}

const round = (value: number): number => Math.round(value * 100) / 100
