import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { loadNativeCurve } from '@tkms/curve-native'
import { type ClusterId, nobleCurve, type NodePublicKey, participantIndex, Secret } from '@tkms/dkg'
import { type KeygenMember, runKeygen } from '@tkms/dkg/testing'

/** One key generation of the real engines with real signatures, all in this process: what the protocol itself costs a node. */
export interface CeremonyCost {
  readonly n: number
  readonly t: number
  /** Processor time of one node, on average. */
  readonly cpu_ms_per_node: number
  /** Signed messages one node sends and receives, and their bytes, on average: without transport, acknowledgements and STATUS. */
  readonly messages_per_node: number
  readonly kib_per_node: number
}

const seedOf = (...parts: readonly (string | number)[]): Uint8Array => sha256(new TextEncoder().encode(parts.join('/')))

const memberOf = (index: number): KeygenMember => {
  const secret = seedOf('bench identity', index)
  const publicKey = ed25519.getPublicKey(secret) as NodePublicKey
  return { index: participantIndex(index), publicKey, sign: (message) => ed25519.sign(message, secret) }
}

/** @param n members, t = floor(n / 3) + 1 as in the protocol's table */
export function benchCeremony(n: number, t: number): CeremonyCost {
  const members = Array.from({ length: n }, (_, at) => memberOf(at + 1))
  const before = process.cpuUsage()
  const run = runKeygen({
    curve: loadNativeCurve() ?? nobleCurve,
    members,
    t,
    clusterId: seedOf('bench cluster', n) as ClusterId,
    seedOf: (index, use) => new Secret(seedOf('bench seed', n, index, use)),
  })
  const { user, system } = process.cpuUsage(before)
  for (const share of run.shares.values()) share.destroy()
  const bytes = run.messages.reduce((sum, { length }) => sum + length, 0)
  // Every message goes to n - 1 members: sent by one of n, received by each other.
  const share = (2 * (n - 1)) / n
  return {
    n,
    t,
    cpu_ms_per_node: Math.round((user + system) / 1000 / n),
    messages_per_node: Math.round(run.messages.length * share),
    kib_per_node: Math.round((bytes * share) / 1024),
  }
}
