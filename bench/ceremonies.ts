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
import { measureCeremonyFloor } from './ceremony-floor.ts'
import { cpuMs, median } from './statistics.ts'

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
  readonly cpuMs: number
  readonly verifyMs: number
  readonly verified: number
}

function measureKeygen(members: readonly KeygenMember[], t: number): Measured {
  let verifyUs = 0
  let verified = 0
  const verify: VerifyMessage = (...signed) => {
    const before = process.cpuUsage()
    const holds = verifyEd25519(...signed)
    const { user, system } = process.cpuUsage(before)
    verifyUs += user + system
    verified += 1
    return holds
  }
  const n = members.length
  let run: KeygenRun | undefined
  const cpu = cpuMs(() => {
    run = runKeygen({
      curve: loadNativeCurve() ?? nobleCurve,
      members,
      t,
      clusterId: seedOf('bench cluster', n) as ClusterId,
      seedOf: (index, use) => new Secret(seedOf('bench seed', n, index, use)),
      verify,
    })
  })
  if (run === undefined) throw new Error('a run that did not throw has a result')
  for (const share of run.shares.values()) share.destroy()
  return { run, cpuMs: cpu, verifyMs: verifyUs / 1000, verified }
}

/** Small committees are measured several times, after one that warms the compiler up. The floor is measured around each. */
export function benchCeremony(n: number, t: number): CeremonyCost {
  const members = Array.from({ length: n }, (_, at) => memberOf(at + 1))
  const sign = members[0]?.sign
  if (sign === undefined) throw new RangeError('a committee has members')
  const rounds = Math.ceil(16 / n)
  if (n < 16) measureKeygen(members, t)
  const floors = [measureCeremonyFloor(n, t, sign)]
  const measured = Array.from({ length: rounds }, () => {
    const result = measureKeygen(members, t)
    floors.push(measureCeremonyFloor(n, t, sign), measureCeremonyFloor(n, t, sign))
    return result
  })
  const [first] = measured
  if (first === undefined) throw new RangeError('there is a round')
  const cpu = median(measured.map(({ cpuMs: ms }) => ms)) / n
  const curve = median(measured.map(({ cpuMs: ms, verifyMs }) => ms - verifyMs)) / n
  const curveFloor = median(floors.map(({ curve_ms: ms }) => ms))
  const floor = curveFloor + median(floors.map(({ signatures_ms: ms }) => ms))
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
