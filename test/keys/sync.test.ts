import type { Curve, NodePublicKey, ParticipantIndex, SignMessage, VerifyMessage } from '@tkms/dkg'
import { afterEach, describe, expect, test } from 'vitest'
import { createErasedNotices, type ErasedNotices } from '../../packages/kms-node/src/keys/erased-notices.ts'
import { createKeySync, type KeySync } from '../../packages/kms-node/src/keys/key-sync.ts'
import type { CeremonyFrame } from '../../packages/kms-node/src/net/ceremony-frame.ts'
import { systemClock } from '../../packages/kms-node/src/system.ts'
import { keygenByHand, reshareByHand } from '../support/hand-made.ts'
import {
  answerTo,
  createKeyBench,
  GRACE_MS,
  install,
  type KeyBench,
  type KeyNode,
  shareOf,
  sharingOf,
  statesOf,
} from '../support/key-bench.ts'
import { fastCurve, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

/** Rows 31 and 8.4: what nodes tell each other about their keys, over a network in memory that keeps the order. */

const committee = simulatedCommittee({ n: 4, t: 2, seed: 31 })
const { identities } = committee
const [alice, bob, carol] = identities
if (alice === undefined || bob === undefined || carol === undefined) throw new Error('four members were made')
const genesis = keygenByHand(committee.spec, identities)
const second = reshareByHand(genesis, identities, 2)
const third = reshareByHand(second, identities, 2)
const elsewhere = reshareByHand(third, identities.slice(0, 3), 2)
const last = reshareByHand(elsewhere, identities.slice(0, 3), 2)

interface Peer {
  readonly identity: Identity
  readonly bench: KeyBench
  node: KeyNode
  sync: KeySync
  notices: ErasedNotices
  readonly answered: number[]
}

const peers = new Map<number, Peer>()
afterEach(async () => {
  for (const { node, bench } of peers.values()) {
    await node.end()
    await bench.remove()
  }
  peers.clear()
})

const queue: { readonly from: ParticipantIndex; readonly to: number; readonly frame: CeremonyFrame }[] = []
const say = (from: ParticipantIndex, to: number, frame: CeremonyFrame): void => void queue.push({ from, to, frame })

/** Delivers until nobody has anything to say. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < 20; quiet++) {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      quiet = 0
      peers.get(next.to)?.sync.onFrame(next.from, next.frame)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function syncOf(identity: Identity, node: KeyNode, answered: number[]): Pick<Peer, 'sync' | 'notices'> {
  const index = identity.index as unknown as ParticipantIndex
  const notices = createErasedNotices({
    keeper: node.keeper,
    verify: committee.verify as unknown as VerifyMessage,
    sign: identity.sign as unknown as SignMessage,
    self: identity.publicKey as unknown as NodePublicKey,
  })
  const sync = createKeySync({
    curve: fastCurve as unknown as Curve,
    keeper: node.keeper,
    notices,
    send: (to, frame) => say(index, to, frame),
    broadcast: (frame) => {
      for (const to of peers.keys()) if (to !== identity.index) say(index, to, frame)
    },
    clock: systemClock,
    onAnswered: (peer) => void answered.push(peer),
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  })
  return { sync, notices }
}

async function join(identity: Identity): Promise<Peer> {
  const bench = await createKeyBench(committee, identity)
  const node = await bench.start()
  const answered: number[] = []
  const peer = { identity, bench, node, answered, ...syncOf(identity, node, answered) }
  peers.set(identity.index, peer)
  return peer
}

/** The process ends; what `meanwhile` does to the disk is what the next one finds, closed until the test opens it. */
async function restart(peer: Peer, meanwhile: () => void): Promise<void> {
  await peer.node.end()
  meanwhile()
  peer.node = await peer.bench.start('closed')
  peer.answered.length = 0
  Object.assign(peer, syncOf(peer.identity, peer.node, peer.answered))
}

function meet(one: Peer, other: Peer): Promise<void> {
  one.sync.onPeerConnected(other.identity.index as unknown as ParticipantIndex)
  other.sync.onPeerConnected(one.identity.index as unknown as ParticipantIndex)
  return settle()
}

const refresh = async (peer: Peer, made: typeof genesis): Promise<void> => {
  await install(peer.node, made, peer.identity)
}

describe('row 31: a disk that was restored', () => {
  test("yesterday's disk of one node is detected before it serves, and its old share refused at once", async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    const putBack = a.bench.disk.backup()
    for (const peer of [a, b]) await refresh(peer, second)
    await restart(a, putBack)
    expect([statesOf(a.node), answerTo(a.node, genesis)]).toEqual([['0 active'], 'not-ready'])
    await meet(a, b)
    expect(new Set(a.answered)).toEqual(new Set([bob.index]))
    expect(a.node.behind).toMatchObject([{ proven: true, key: { epoch: 1 } }])
    a.node.keeper.open()
    expect(statesOf(a.node)).toEqual(['1 awaiting-repair', '0 retiring'])
    expect(answerTo(a.node, genesis)).toBe('superseded')
    expect(answerTo(a.node, second)).toBe('no-share')
    expect(answerTo(a.node, second, 'unnamed')).toBe('no-share')
    await restart(a, () => undefined)
    a.node.keeper.open()
    expect(answerTo(a.node, genesis)).toBe('superseded')
    await refresh(a, second)
    expect(answerTo(a.node, second, 'unnamed')).toBe('epoch 1')
  })

  test('a node whose peers come only after it serves refuses its old share when one of them does', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    const putBack = a.bench.disk.backup()
    for (const peer of [a, b]) await refresh(peer, second)
    await restart(a, putBack)
    a.node.keeper.open()
    expect(answerTo(a.node, genesis, 'unnamed')).toBe('epoch 0')
    await meet(a, b)
    expect(answerTo(a.node, genesis)).toBe('superseded')
    expect(a.node.behind).toMatchObject([{ proven: true }])
  })

  test('a disk older than the key itself: the key is known again, without a share', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    const putBack = a.bench.disk.backup()
    for (const peer of [a, b]) for (const made of [genesis, second]) await refresh(peer, made)
    await restart(a, putBack)
    await meet(a, b)
    expect(statesOf(a.node)[0]).toBe('1 awaiting-repair')
    expect(a.node.behind.at(-1)).toMatchObject({ proven: true })
  })

  test('a node that was only away keeps serving requests that name the old epoch, when it hears of the new one while it serves', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    const withoutAlice = reshareByHand(genesis, identities, 2, { voters: identities.slice(1) })
    await refresh(b, withoutAlice)
    b.sync.announce()
    await settle()
    expect(statesOf(a.node)).toEqual(['1 awaiting-repair', '0 retiring'])
    expect(answerTo(a.node, genesis)).toBe('epoch 0')
    expect(a.node.behind).toEqual([])
  })

  test("a liar's heads keep nobody from serving, and change nothing", async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    await restart(a, () => undefined)
    const from = carol.index as unknown as ParticipantIndex
    const head = { keyId: genesis.keyId, sharingId: new Uint8Array(32).fill(9), epoch: 7, attempt: 0 }
    a.sync.onFrame(from, { type: 'keyHeads', heads: [head], reply: false })
    a.sync.onFrame(from, { type: 'certificate', ceremony: new Uint8Array(32), certificate: second.bytes.slice(0, -1) })
    await meet(a, b)
    expect(new Set(a.answered)).toEqual(new Set([bob.index]))
    a.node.keeper.open()
    expect(answerTo(a.node, genesis, 'unnamed')).toBe('epoch 0')
  })
})

describe('certificates between nodes', () => {
  test('a chain is fetched backwards until it leads on, over changes of the committee', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const made of [genesis, second, third, elsewhere, last]) await refresh(b, made)
    await refresh(a, genesis)
    await meet(a, b)
    expect(statesOf(a.node)[0]).toBe('4 awaiting-repair')
    expect(a.node.keeper.find(sharingOf(elsewhere))).toBeDefined()
    expect(new Set(a.answered)).toEqual(new Set([bob.index]))
    expect(b.answered).toContain(alice.index)
  })

  test('what was asked before there was a connection is asked again over it', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    await refresh(b, second)
    b.sync.onPeerConnected(alice.index as unknown as ParticipantIndex)
    const lost = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        if (next.to === alice.index) a.sync.onFrame(next.from, next.frame)
    }
    await lost()
    await lost()
    queue.length = 0
    expect(statesOf(a.node)).toEqual(['0 active'])
    await meet(a, b)
    expect(statesOf(a.node)).toEqual(['1 awaiting-repair', '0 retiring'])
  })

  test('a peer that still has a destroyed key hears of the order', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    const order = Uint8Array.of(4, 5, 6)
    await a.node.keeper.destroyKey(genesis.keyId as never, order)
    const heard: CeremonyFrame[] = []
    b.sync = { ...b.sync, onFrame: (_from, frame) => void heard.push(frame) }
    a.sync.onFrame(bob.index as unknown as ParticipantIndex, {
      type: 'keyHeads',
      heads: [{ keyId: genesis.keyId, sharingId: genesis.sharingId, epoch: 0, attempt: 0 }],
      reply: false,
    })
    await settle()
    expect(heard).toEqual([{ type: 'destroy', message: order }])
    expect(new Set(a.answered)).toEqual(new Set([bob.index]))
    const head = { keyId: genesis.keyId, sharingId: second.sharingId, epoch: 1, attempt: 0 }
    a.sync.onFrame(bob.index as unknown as ParticipantIndex, { type: 'keyHeads', heads: [head], reply: false })
    await settle()
    const asked = { type: 'fetchCertificate', sharingId: second.sharingId }
    expect(heard.slice(1)).toEqual([{ type: 'destroy', message: order }, asked])
  })
})

describe('who has moved on', () => {
  test('an old share goes when the heads of t members show the new epoch', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) await refresh(peer, genesis)
    const word = { approvedHere: true, mayErase: true }
    for (const { node, identity } of [a, b]) await node.keeper.install(second.bytes, shareOf(second, identity), word)
    a.bench.pass(GRACE_MS)
    await a.node.keeper.eraseDue()
    expect(statesOf(a.node)).toEqual(['1 active', '0 retiring'])
    b.sync.announce()
    await settle()
    await a.node.keeper.eraseDue()
    expect(statesOf(a.node)).toEqual(['1 active', '0 erased'])
  })
})

describe('who has erased', () => {
  test('each says so to everybody, signed, and again to who connects later', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    const past = (peer: Peer) => peer.node.keeper.find(sharingOf(genesis))?.key
    for (const peer of [a, b]) for (const made of [genesis, second]) await refresh(peer, made)
    const missing = (peer: Peer): readonly number[] | undefined => {
      const key = past(peer)
      return key && peer.notices.missing(key)
    }
    expect(missing(a)).toEqual([1, 2, 3, 4])
    a.bench.pass(GRACE_MS)
    await a.node.keeper.eraseDue()
    expect(missing(a)).toEqual([2, 3, 4])
    a.sync.announceErased(genesis.keyId as never)
    await settle()
    expect(missing(b)).toEqual([2, 3, 4])
    b.bench.pass(GRACE_MS)
    await b.node.keeper.eraseDue()
    const c = await join(carol)
    for (const made of [genesis, second]) await refresh(c, made)
    await meet(b, c)
    await meet(a, c)
    expect(missing(c)).toEqual([3, 4])
  })

  test('nobody says it for another', async () => {
    const [a, b] = [await join(alice), await join(bob)]
    for (const peer of [a, b]) for (const made of [genesis, second]) await refresh(peer, made)
    a.bench.pass(GRACE_MS)
    await a.node.keeper.eraseDue()
    const [own] = a.notices.own()
    if (own === undefined) throw new Error('nothing was said')
    const forged = Uint8Array.from(own)
    forged[69] = bob.index
    expect([b.notices.take(forged), b.notices.take(own), b.notices.take(Uint8Array.of(1))]).toEqual([
      false,
      true,
      false,
    ])
  })
})
