import { generateKeyPairSync, sign } from 'node:crypto'
import { decodeNodePublicKey, participantIndex, verifyEd25519 } from '@tkms/dkg'
import { describe, expect, it } from 'vitest'
import { systemRng } from '../system.ts'
import { type AskPeer, createInstance, createInstanceGuard, type Instance } from './instance.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const self = decodeNodePublicKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12)))
const other = generateKeyPairSync('ed25519').privateKey
const now = { ms: 0 }
const clock = { nowMs: () => 0, monotonicMs: () => now.ms }

function instanceAt(startMs: number, key = privateKey): Instance {
  now.ms = startMs
  const signWith = (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, key))
  return createInstance({ sign: signWith, verify: verifyEd25519, self, clock, rng: systemRng })
}

describe('row 32: two processes under one identity', () => {
  it('the later one gives way, the earlier one stays', () => {
    const first = instanceAt(0)
    const second = instanceAt(60_000)
    now.ms = 70_000
    const nonce = second.nonce()
    expect(second.mustGiveWay(nonce, [first.prove(nonce)])).toBe(true)
    expect(first.mustGiveWay(nonce, [second.prove(nonce)])).toBe(false)
  })

  it('both give way when they began together', () => {
    const [first, second] = [instanceAt(0), instanceAt(4_000)]
    const nonce = first.nonce()
    expect([first.mustGiveWay(nonce, [second.prove(nonce)]), second.mustGiveWay(nonce, [first.prove(nonce)])]).toEqual([
      true,
      true,
    ])
  })

  it('neither itself, nor an old answer, nor one that another key signed counts', () => {
    const first = instanceAt(0)
    const second = instanceAt(60_000)
    const nonce = second.nonce()
    const forger = instanceAt(0, other)
    now.ms = 120_000
    expect(second.mustGiveWay(nonce, [second.prove(nonce)])).toBe(false)
    expect(second.mustGiveWay(nonce, [first.prove(second.nonce())])).toBe(false)
    expect(second.mustGiveWay(nonce, [forger.prove(nonce)])).toBe(false)
    expect(second.mustGiveWay(nonce, [{ ...first.prove(nonce), upMs: 1_000_000 }])).toBe(false)
    expect(second.mustGiveWay(nonce, [])).toBe(false)
  })

  it('one peer that shows it is enough, and those that are away say nothing', async () => {
    const first = instanceAt(0)
    const second = instanceAt(60_000)
    const [near, far, away] = [participantIndex(1), participantIndex(2), participantIndex(3)]
    const ask: AskPeer = async (peer, nonce) => {
      if (peer === away) throw new Error('unreachable')
      return peer === far ? [first.prove(nonce)] : []
    }
    const guard = createInstanceGuard(second, ask, 1000)
    await guard.atStart([near, away])
    await expect(guard.atStart([near, far, away])).rejects.toMatchObject({
      code: 'duplicate-identity',
      data: { seenBy: 2 },
    })
    guard.onPeerConnected(near)
    guard.onPeerConnected(far)
    expect(await guard.mustStop).toMatchObject({ data: { seenBy: 2 } })
  })
})
