import {
  type Cluster,
  type ClusterNode,
  type CommitteeConfig,
  configHash,
  formatCluster,
  type Member,
  parseCluster,
  participantIndex,
} from '@tkms/dkg'
import { describe, expect, test } from 'vitest'
import {
  addCandidates,
  nextIndex,
  nodeOfCard,
  withNewerBook,
  withoutNode,
  withUnknownNodes,
} from '../../packages/kms-node/src/cluster/address-book.ts'
import { rosterOf } from '../../packages/kms-node/src/cluster/roster-roles.ts'
import {
  born,
  cardOf,
  committee,
  empty,
  grown,
  keysOf,
  member,
  moved,
  nodeOf,
  nodes,
  signers,
  titled,
} from '../support/cluster-members.ts'
import { reshareByHand } from '../support/hand-made.ts'

const refused = (code: string): unknown => expect.objectContaining({ code })
const [one, six, seven, eight, nine] = [1, 6, 7, 8, 9].map(member) as [Member, Member, Member, Member, Member]

describe('candidates', () => {
  test('get indices that were never used, also by members that were removed since', () => {
    expect(addCandidates(empty, [cardOf(eight), cardOf(nine)]).nodes.map(({ index, name }) => [index, name])).toEqual([
      ...[1, 2, 3, 4, 5].map((index) => [index, `node-${index}`]),
      [6, 'node-8'],
      [7, 'node-9'],
    ])
    const forgotten = withoutNode({ ...grown, nodes: nodes(3, 4, 6, 7, 5) }, 'node-5', titled(grown))
    const back = reshareByHand(moved, signers(3, 4, 6), 2)
    const without7 = { ...forgotten, nodes: nodes(3, 4, 6), certificates: [...grown.certificates, back.bytes] }
    expect(nextIndex(without7)).toBe(8)
    expect(nextIndex({ ...empty, nodes: [] })).toBe(6)
  })

  test('keep the config hash, and the file can be read back', () => {
    const longer = addCandidates(empty, [cardOf(eight)])
    expect(longer.configHash).toEqual(empty.configHash)
  })

  test.for<readonly [string, Cluster, ReturnType<typeof cardOf>, string]>([
    ['a member again', born, cardOf(one, { name: 'other', url: 'https://other:1' }), 'already-in-cluster'],
    ['a removed member', { ...grown, nodes: nodes(3, 4, 6, 7) }, cardOf(member(2)), 'already-in-cluster'],
    ['a name that is taken', born, cardOf(eight, { name: 'node-1' }), 'name-taken'],
    ['a URL that is taken', born, cardOf(eight, { url: 'https://127.0.0.1:8001' }), 'url-taken'],
    [
      'the index after 65535',
      { ...born, nodes: [...born.nodes, { ...nodeOf(nine), index: participantIndex(0xffff) }] },
      cardOf(eight),
      'no-index-left',
    ],
  ])('%s is refused', ([, cluster, card, code]) => {
    expect(() => addCandidates(cluster, [card])).toThrow(refused(code))
  })
})

describe('a newer file', () => {
  test('adds and changes entries, and takes nothing away', () => {
    const elsewhere = { ...nodeOf(seven), multiaddrs: ['/ip4/10.0.0.7/tcp/1'], revision: 1 }
    const { cluster, added, changed } = withNewerBook(grown, { ...born, nodes: [...nodes(1, 2, 8), elsewhere] })
    expect({ added, changed }).toEqual({ added: ['node-8'], changed: ['node-7'] })
    expect(cluster.nodes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(cluster.nodes.find(({ index }) => index === 7)).toEqual(elsewhere)
    expect(cluster.certificates).toEqual(grown.certificates)
    expect(withNewerBook(grown, born).cluster).toBe(grown)
  })

  test('counts by its revisions, in whatever order files come; of one revision there are no two entries', () => {
    const at = (port: number, revision: number): Cluster => {
      const moving = { ...nodeOf(seven), url: `https://127.0.0.1:${port}`, ...(revision > 0 && { revision }) }
      return { ...grown, nodes: [...nodes(1, 2, 3, 4, 5, 6), moving] }
    }
    const files = [at(1, 0), at(2, 1), at(3, 4)]
    for (const order of [files, files.toReversed()]) {
      const [first, ...others] = order as [Cluster, Cluster, Cluster]
      const book = others.reduce((before, newer) => withNewerBook(before, newer).cluster, first)
      expect(book.nodes.at(-1)).toMatchObject({ url: 'https://127.0.0.1:3', revision: 4 })
      expect(parseCluster(formatCluster(book))).toEqual(book)
    }
    expect(withNewerBook(at(3, 4), at(2, 1))).toMatchObject({ added: [], changed: [] })
    for (const revision of [0, 4])
      expect(() => withNewerBook(at(3, revision), at(2, revision))).toThrow(refused('address-conflict'))
    const stranger = { ...nodeOf(eight), index: member(7).index }
    const older = { ...grown, nodes: [...nodes(1, 2, 3, 4, 5, 6), stranger] }
    expect(() => withNewerBook(at(3, 4), older)).toThrow(refused('address-conflict'))
  })

  test('of another cluster is refused with both config hashes', () => {
    const config = committee(2, 1, 2, 3, 4, 5)
    const other = { ...born, config, configHash: configHash(config) }
    expect(() => withNewerBook(born, other)).toThrow(refused('other-cluster'))
  })

  test.for<readonly [string, Partial<ClusterNode>]>([
    ['another identity at a used index', { index: member(4).index }],
    ['a removed member under another index', { publicKey: member(2).publicKey }],
    ['a name twice', { name: 'node-3' }],
    ['a URL twice', { url: 'https://127.0.0.1:8003' }],
  ])('with %s is refused, and left out where a peer sends it', ([, change]) => {
    const former = { ...grown, nodes: nodes(1, 3, 4, 5, 6, 7) }
    const entry = { ...nodeOf(eight), ...change }
    expect(() =>
      withNewerBook(former, {
        ...former,
        nodes: [...former.nodes.filter(({ index }) => index !== entry.index), entry],
      }),
    ).toThrow(refused('address-conflict'))
    expect(withUnknownNodes(former, [entry])).toBe(former)
  })

  test('a peer adds nodes, and changes none', () => {
    const elsewhere = { ...nodeOf(six), url: 'https://evil:1' }
    expect(withUnknownNodes(grown, [elsewhere, nodeOf(eight)]).nodes).toEqual([...grown.nodes, nodeOf(eight)])
  })
})

describe('row 30: roles', () => {
  const roles = (cluster: Cluster, open: readonly CommitteeConfig[] = []): object =>
    Object.fromEntries(
      rosterOf(cluster, { current: keysOf(cluster).map(({ config }) => config), open }).map(({ node, role }) => [
        node.index,
        role,
      ]),
    )

  test('without a key the genesis committee and candidates are members', () => {
    expect(roles({ ...empty, nodes: nodes(1, 2, 3, 4, 5, 8) })).toEqual(
      Object.fromEntries([1, 2, 3, 4, 5, 8].map((index) => [index, 'member'])),
    )
  })

  test('after a resharing who left is a former member, until another ceremony names it', () => {
    const book = { ...grown, nodes: nodes(1, 2, 3, 4, 5, 6, 7, 8) }
    const left = { 1: 'former', 2: 'former', 5: 'former' }
    const stayed = { 3: 'member', 4: 'member', 6: 'member', 7: 'member', 8: 'member' }
    expect(roles(book)).toEqual({ ...left, ...stayed })
    const open = committee(2, 1, 3, 4)
    expect(roles(book, [open])).toEqual({ ...left, ...stayed, 1: 'member' })
  })

  test('another identity at the index of a member is not that member', () => {
    const book = { ...grown, nodes: [...nodes(3, 4, 6), { ...nodeOf(seven), publicKey: eight.publicKey }] }
    expect(roles(book)).toEqual({ 3: 'member', 4: 'member', 6: 'member', 7: 'member' })
    expect(rosterOf(book, { current: keysOf(book).map(({ config }) => config), open: [] })).toHaveLength(4)
  })
})

test('an entry of a card says what the card says', () => {
  expect(nodeOfCard(cardOf(eight), eight.index)).toEqual(nodeOf(eight))
})

describe('removal', () => {
  test('only of nodes in no committee; without a key the genesis committee counts', () => {
    expect(withoutNode(grown, 'node-1', titled(grown)).nodes.map(({ index }) => index)).toEqual([2, 3, 4, 5, 6, 7])
    expect(() => withoutNode(grown, 'node-6', titled(grown))).toThrow(refused('still-member'))
    expect(() => withoutNode(empty, 'node-1', [])).toThrow(refused('still-member'))
    expect(() => withoutNode(grown, 'nobody', titled(grown))).toThrow(refused('unknown-node'))
  })
})
