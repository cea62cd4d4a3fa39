import { tmpdir } from 'node:os'
import {
  type CeremonySpec,
  ceremonyId,
  createConfig,
  type KeyId,
  nobleCurve,
  participantIndex,
  PROTOCOL_TIMINGS,
  type ReshareSpec,
  Secret,
  type SharingId,
  signMemberAuthorization,
  signTagged,
  slotEntry,
  u16,
  u32,
  varBytes,
} from '@tkms/dkg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createSigner } from '../identity/ed25519-signer.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { systemClock, systemRng } from '../system.ts'
import { type CeremonyRegistry, createCeremonyRegistry } from './registry.ts'
import { openSlotBook, type SlotBook } from './slot-book.ts'
import { createWaitingRoom } from './waiting-room.ts'

/** Two attempts to reshare one key, n = 4, t = 2, Q = 3, at a member of both committees. */
const { config } = testCluster(4, [])
const self = participantIndex(1)
const seedOf = (index: number): Secret => new Secret(new Uint8Array(32).fill(index))
const specOf = (attempt: number): ReshareSpec => ({
  kind: 'reshare',
  suite: 1,
  clusterId: config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 1,
  attempt,
  keyId: new Uint8Array(32).fill(8) as KeyId,
  prevOutcome: new Uint8Array(32).fill(9) as SharingId,
  oldConfig: config,
  newConfig: createConfig({ clusterId: config.clusterId, t: 2, members: config.members }),
  notAfter: Math.floor(systemClock.nowMs() / 1000) + 3600,
})
const [lower, higher] = [specOf(0), specOf(1)]

let started: unknown[]
let hasShare: boolean
/** The newest sharing that is known here. */
let epoch: number
let slots: SlotBook
let registry: CeremonyRegistry
/** What the others do while this node signs AUTH of the higher attempt. */
let meanwhile: () => Promise<void>
/** Whose AUTH of the higher attempt was sent. */
let sent: unknown[]

beforeEach(async () => {
  started = []
  hasShare = true
  epoch = 0
  meanwhile = async () => {}
  sent = []
  const store = memoryStore()
  const log = (fields: Readonly<Record<string, unknown>>, event: string): void => {
    if (event === 'ceremony-started') started.push(fields['ceremony'])
  }
  const book = await openSlotBook(store)
  slots = {
    ...book,
    authorize: async (spec, own) => {
      if (spec.attempt === 1) await meanwhile()
      return book.authorize(spec, own)
    },
  }
  registry = createCeremonyRegistry({
    self,
    timings: PROTOCOL_TIMINGS,
    identity: seedOf(1),
    sign: createSigner(seedOf(1)),
    curve: nobleCurve,
    nodeSeed: seedOf(2),
    store,
    slots,
    network: {
      send: (_to, frame) => {
        if (frame.type === 'authorization' && Buffer.from(frame.ceremony).equals(ceremonyId(higher)))
          sent.push(frame.index)
        return false
      },
      broadcast: () => {},
      connected: [],
      setPeers: () => {},
      addPeers: () => {},
      start: async () => {},
      stop: async () => {},
    },
    clock: systemClock,
    rng: systemRng,
    log: { info: log, warn: log, error: log },
    evidenceDirectory: tmpdir(),
    keys: {
      // Only what there is of it counts before an engine asks for more.
      list: () => [{ key: { keyId: lower.keyId, epoch, attempt: 0, ceremony: new Uint8Array(32) } as never, hasShare }],
      find: () => ({ hasShare }) as never,
      copyShare: () => undefined,
      install: () => Promise.reject(new Error('nothing is certified here')),
      learn: async () => undefined,
    },
    waitingRoom: createWaitingRoom(1000),
    nameOf: (index) => ({ index, name: `node-${index}` }),
    publish: () => {},
    onCommittees: () => {},
  })
})
afterEach(async () => {
  for (const run of registry.list()) await run.halt()
})

async function approve(spec: CeremonySpec) {
  await slots.approve(spec, 'plain')
  return registry.open({ spec, nodes: [] })
}

/** AUTH of two other old members: with the own one they are a quorum, and the lower attempt may begin. */
async function authorizeLower(): Promise<void> {
  const run = registry.get(Buffer.from(ceremonyId(lower)).toString('hex'))
  const begun = vi.spyOn(slots, 'begin')
  for (const index of [2, 3].map(participantIndex)) {
    const entry = signMemberAuthorization(createSigner(seedOf(index)), lower, index)
    run?.deliver(index, { type: 'authorization', ceremony: ceremonyId(lower), ...entry })
  }
  await vi.waitFor(() => expect(begun.mock.settledResults.some(({ type }) => type === 'fulfilled')).toBe(true))
  await new Promise((resolve) => setImmediate(resolve))
}

test('a lower attempt does not begin while a higher one is authorized, nor after it', async () => {
  const run = await approve(lower)
  await run.authorize()
  expect(run.status.stage).toBe('authorizing')
  const next = await approve(higher)
  meanwhile = authorizeLower
  await registry.inTurn(() => next.authorize())
  await registry.inTurn(async () => {})
  expect(run.status.stage).toBe('superseded')
  expect(started).toEqual([])
})

test('a lower attempt that was held goes on when the higher one is not authorized after all', async () => {
  const run = await approve(lower)
  await run.authorize()
  const next = await approve(higher)
  meanwhile = async () => {
    await authorizeLower()
    expect(started).toEqual([])
  }
  hasShare = false
  await registry.inTurn(() => next.authorize())
  await registry.inTurn(async () => {})
  expect(started).toEqual([run.status.ceremony])
})

test('an AUTH that could not be written holds no lower attempt up, and is tried again', async () => {
  const run = await approve(lower)
  await run.authorize()
  const next = await approve(higher)
  meanwhile = async () => {
    await authorizeLower()
    throw new Error('ENOSPC')
  }
  await expect(registry.inTurn(() => next.authorize())).rejects.toThrow('ENOSPC')
  await registry.inTurn(async () => {})
  expect(started).toEqual([run.status.ceremony])
  meanwhile = async () => {}
  next.remind()
  await registry.inTurn(async () => {})
  expect(sent).toEqual([1, 1, 1])
  expect(next.status).toMatchObject({ stage: 'authorizing', authorization: { have: 1 } })
})

test('what was given up stays so where its engine ends before it takes the order', async () => {
  const run = await approve(lower)
  await run.authorize()
  await authorizeLower()
  await vi.waitFor(() => expect(started).toEqual([run.status.ceremony]))
  await run.abandon()
  await run.halt()
  expect(slotEntry(slots.state(lower), run.ceremony)).toMatchObject({ abandoned: true })
})

test('a ceremony that cannot be ended keeps no other from its end', async () => {
  const [first, second] = [await approve(lower), await approve(higher)]
  vi.spyOn(first, 'supersede').mockRejectedValueOnce(new Error('ENOSPC'))
  epoch = 2
  registry.settle()
  await registry.inTurn(async () => {})
  expect([first, second].map(({ status }) => status.stage)).toEqual(['authorizing', 'superseded'])
})

test('nothing begins once the node stops', async () => {
  const run = await approve(lower)
  await run.authorize()
  await registry.stop()
  await authorizeLower()
  expect(started).toEqual([])
})

test('an epoch whose certificate came from a peer gets no AUTH for another attempt', async () => {
  const run = await approve(higher)
  epoch = 1
  await run.authorize()
  expect(run.status).toMatchObject({ authorization: { have: 0 } })
  epoch = 0
  await run.authorize()
  expect(run.status).toMatchObject({ authorization: { have: 1 } })
})

test('an X whose time ran out here, or that was given up for a higher attempt, stays undecided until it is decided', async () => {
  const run = await approve(lower)
  expect(registry.undecidedOf(lower.keyId)).toEqual(lower)
  run.end('expired', 'its time ran out')
  expect(registry.undecidedOf(lower.keyId)).toEqual(lower)
  expect(registry.undecidedOf(new Uint8Array(32))).toBeUndefined()
  epoch = 1
  expect(registry.undecidedOf(lower.keyId)).toBeUndefined()
  epoch = 0
  await slots.decideAgainst(lower)
  expect(registry.undecidedOf(lower.keyId)).toBeUndefined()
  const next = await approve(higher)
  await next.authorize()
  expect(registry.undecidedOf(lower.keyId)).toEqual(higher)
  await slots.certify(higher, new Uint8Array(32) as SharingId)
  expect(registry.undecidedOf(lower.keyId)).toBeUndefined()
})

test('an X whose time ran out here can be given up, and counts as given up when a quorum does', async () => {
  const run = await approve(lower)
  run.end('expired', 'its time ran out')
  await run.abandon()
  expect(run.status.stage).toBe('left')
  await run.halt()
  for (const index of [2, 3, 4].map(participantIndex)) {
    const body = Uint8Array.of(9, 1, ...ceremonyId(lower), ...u32(0), ...u16(index))
    const signed = Uint8Array.of(...varBytes(body), ...signTagged(createSigner(seedOf(index)), 'abandon', body))
    run.deliver(index, { type: 'message', ceremony: ceremonyId(lower), signed })
  }
  await vi.waitFor(() => expect(run.status.stage).toBe('abandoned'))
  expect(registry.undecidedOf(lower.keyId)).toBeUndefined()
})

test('what is approved now is undecided before anything of it is durable', () => {
  const release = registry.reserve(lower)
  expect(registry.undecidedOf(lower.keyId)).toEqual(lower)
  release()
  expect(registry.undecidedOf(lower.keyId)).toBeUndefined()
})
