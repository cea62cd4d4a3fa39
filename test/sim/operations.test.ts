import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import type { Curve } from '../../packages/dkg/src/primitives/curve.ts'
import { decodeNodePublicKey, verifyEd25519 } from '../../packages/dkg/src/primitives/ed25519.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { ClusterId } from '../../packages/dkg/src/primitives/types.ts'
import { runKeygen } from '../../packages/dkg/src/testing/keygen.ts'
import { testGroup } from '../model/test-group.ts'

const hash = (text: string): Uint8Array => sha256(utf8ToBytes(text))

type Counted = 'isPoint' | 'mulSecret' | 'mulBaseSecret' | 'sum' | 'evaluate' | 'verifyPossession' | 'verify'

/** How often each operation ran in an honest key generation, all nodes together. */
function countOperations(n: number, t: number): Record<Counted, number> {
  const counts = { isPoint: 0, mulSecret: 0, mulBaseSecret: 0, sum: 0, evaluate: 0, verifyPossession: 0, verify: 0 }
  const counted =
    <Arguments extends readonly unknown[], Result>(name: Counted, run: (...args: Arguments) => Result) =>
    (...args: Arguments): Result => {
      counts[name] += 1
      return run(...args)
    }
  const curve: Curve = {
    ...testGroup,
    isPoint: counted('isPoint', testGroup.isPoint),
    mulSecret: counted('mulSecret', testGroup.mulSecret),
    mulBaseSecret: counted('mulBaseSecret', testGroup.mulBaseSecret),
    sum: counted('sum', testGroup.sum),
    evaluate: counted('evaluate', testGroup.evaluate),
    verifyPossession: counted('verifyPossession', testGroup.verifyPossession),
  }
  const members = Array.from({ length: n }, (_, at) => {
    const seed = hash(`identity ${at}`)
    const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
    return { index: participantIndex(at + 1), publicKey, sign: (message: Uint8Array) => ed25519.sign(message, seed) }
  })
  runKeygen({
    curve,
    members,
    t,
    clusterId: hash('cluster') as ClusterId,
    seedOf: (index, use) => new Secret(hash(`${index} ${use}`)),
    verify: counted('verify', verifyEd25519),
  })
  return counts
}

describe('what a key generation computes', () => {
  it('is what the protocol asks of each node, and nothing twice', () => {
    const [n, t] = [7, 3]
    const perNode = {
      // Of n DEALs t commitments and R, n EKs, and A' of the proposal and twice of the certificate.
      isPoint: n * (t + 2) + 3 * t,
      // Z of every share dealt and received.
      mulSecret: 2 * n,
      // EK, R and A; s * G for each share received and their sum.
      mulBaseSecret: 1 + 1 + t + n + 1,
      sum: t,
      evaluate: n + 1,
      verifyPossession: 2 * n,
    }
    // JOIN, DEAL, VOUCH, VOTE and COMMIT of the others, its own two in the certificate; JOINSET and PROPOSE for all but the leader.
    const verify = n * (5 * (n - 1) + 2) + 2 * (n - 1)
    const expected = Object.fromEntries(Object.entries(perNode).map(([name, count]) => [name, n * count]))
    expect(countOperations(n, t)).toEqual({ ...expected, verify })
  })
})
