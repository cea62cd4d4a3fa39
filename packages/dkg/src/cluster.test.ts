import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeCertificate, MAX_CERTIFICATE_BYTES } from './ceremony/certificate.ts'
import { ceremonyId, configHash, type KeygenSpec, memberAt, parseKeyName } from './ceremony/config.ts'
import { encodeVote } from './ceremony/messages.ts'
import { encodeOutcome, keygenKeyId, outcomeHash } from './ceremony/outcome.ts'
import { signMessage } from './ceremony/signed-message.ts'
import { clusterKeys } from './cluster-keys.ts'
import { type Cluster, type ClusterJson, formatCluster, parseCluster } from './cluster.ts'
import { KmsError } from './errors.ts'
import { attempt } from './primitives/codec.ts'
import { verifyEd25519 } from './primitives/ed25519.ts'
import { nobleCurve } from './primitives/noble-curve.ts'
import { commit } from './sharing/feldman.ts'

const curve = nobleCurve
const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const names = ['alice', 'bob', 'carol', 'dave', 'erin']
const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`
const node = (index: number) => ({
  index,
  name: names[index - 1] ?? '',
  ed25519: hex(ed25519.getPublicKey(bytes32(names[index - 1] ?? ''))),
  multiaddrs: [`/ip4/127.0.0.1/tcp/${9000 + index}`],
  url: `https://127.0.0.1:${8000 + index}`,
  tlsSpkiSha256: hex(bytes32(`tls ${index}`)),
})
const file: ClusterJson = {
  version: 1,
  clusterId: hex(bytes32('cluster')),
  threshold: 3,
  nodes: [1, 2, 3, 4, 5].map(node),
  certificates: [],
}
const cluster = parseCluster(file)
const [first] = file.nodes
const withNode = (change: object): unknown => ({ ...file, nodes: [{ ...first, ...change }, ...file.nodes.slice(1)] })
const badFile: unknown = expect.objectContaining({ code: 'bad-cluster-file' })

describe('the cluster file', () => {
  it('reads back', () => {
    expect(formatCluster(cluster)).toEqual(file)
    expect(parseCluster(JSON.parse(JSON.stringify(file)))).toEqual(cluster)
    const revised = withNode({ revision: 3 })
    expect(parseCluster(revised).nodes[0]?.revision).toBe(3)
    expect(formatCluster(parseCluster(revised))).toEqual(revised)
    expect(parseCluster(withNode({ revision: 0 }))).toEqual(cluster)
    for (const revision of [-1, 1.5, 2 ** 32, '3']) expect(() => parseCluster(withNode({ revision }))).toThrow(badFile)
  })

  it('gives the committee with what follows from it', () => {
    expect(cluster.config).toMatchObject({ n: 5, t: 3, f: 1 })
    expect(memberAt(cluster.config, 4)?.publicKey).toEqual(cluster.nodes[3]?.publicKey)
    expect(cluster.configHash).toEqual(configHash(cluster.config))
  })

  it('means the same in any order of its nodes, and at any address', () => {
    const moved = { ...file, nodes: file.nodes.map((entry) => ({ ...entry, multiaddrs: [], url: `${entry.url}1` })) }
    expect(parseCluster({ ...moved, nodes: moved.nodes.toReversed() }).configHash).toEqual(cluster.configHash)
    expect(parseCluster({ ...file, nodes: file.nodes.toReversed() })).toEqual(cluster)
  })

  it.each([
    'https://kms.example.org',
    'https://kms-1.example.org:8443',
    'https://[2001:db8::1]:8443',
    'https://localhost:1',
  ])('takes the URL %s', (url) => {
    expect(parseCluster(withNode({ url })).nodes[0]?.url).toBe(url)
  })

  it.each(['http://127.0.0.1:8000', 'http://127.9.9.9', 'http://localhost:8000', 'http://[::1]:8000'])(
    'takes %s, on loopback, without a TLS key',
    (url) => {
      const { tlsSpkiSha256: _, ...plain } = node(1)
      const parsed = parseCluster({ ...file, nodes: [{ ...plain, url }, ...file.nodes.slice(1)] })
      expect(parsed.nodes[0]).not.toHaveProperty('tlsSpkiSha256')
      expect(formatCluster(parsed).nodes[0]).toEqual({ ...plain, url })
    },
  )

  it.each<[string, unknown, string]>([
    ['null', null, 'must be an object'],
    ['a list', [], 'must be an object'],
    ['version 2', { ...file, version: 2 }, 'version'],
    ['an unknown field', { ...file, quorum: 4 }, 'quorum'],
    ['an unknown field of a node', withNode({ adress: 'x' }), 'nodes[0].adress'],
    ['a short clusterId', { ...file, clusterId: '0x00' }, 'clusterId'],
    ['a threshold of 1', { ...file, threshold: 1 }, 'threshold'],
    ['a threshold of n', { ...file, threshold: 5 }, 'threshold'],
    ['two nodes', { ...file, nodes: file.nodes.slice(0, 2) }, 'nodes'],
    ['no nodes', { ...file, nodes: undefined }, 'nodes'],
    ['65 nodes', { ...file, nodes: Array.from({ length: 65 }, () => first) }, 'nodes'],
    ['index 0', withNode({ index: 0 }), 'nodes[0].index'],
    ['index 65536', withNode({ index: 65_536 }), 'nodes[0].index'],
    ['one index twice', withNode({ index: 2 }), 'index twice'],
    ['one name twice', withNode({ name: 'bob' }), 'name twice'],
    [
      'one URL twice',
      withNode({ url: 'https://127.0.0.1:8002' }),
      'url twice: https://127.0.0.1:8002, the second time for node',
    ],
    ['one key twice', withNode({ ed25519: node(2).ed25519 }), 'same public key'],
    ['a small-order key', withNode({ ed25519: `0x01${'00'.repeat(31)}` }), 'nodes[0].ed25519'],
    ['a name with a line break', withNode({ name: 'alice\n' }), 'nodes[0].name'],
    ['an empty name', withNode({ name: '' }), 'nodes[0].name'],
    ['a multiaddr without a slash', withNode({ multiaddrs: ['ip4/1.2.3.4'] }), 'nodes[0].multiaddrs[0]'],
    ['a multiaddr beyond ASCII', withNode({ multiaddrs: ['/dns4/ä'] }), 'nodes[0].multiaddrs[0]'],
    ['a multiaddr of 257 characters', withNode({ multiaddrs: [`/${'a'.repeat(256)}`] }), 'nodes[0].multiaddrs[0]'],
    ['plain HTTP off loopback', withNode({ url: 'http://10.0.0.1:8000' }), 'nodes[0].url'],
    [
      'plain HTTP to a name that only looks like loopback',
      withNode({ url: 'http://127.0.0.1.example.org' }),
      'nodes[0].url',
    ],
    ['a URL with credentials', withNode({ url: 'https://user:pass@host' }), 'nodes[0].url'],
    ['a URL with a path', withNode({ url: 'https://host/path' }), 'nodes[0].url'],
    ['another scheme', withNode({ url: 'file:///etc/passwd' }), 'nodes[0].url'],
    ['HTTPS without a TLS key', { ...file, nodes: [omitTls(), ...file.nodes.slice(1)] }, 'nodes[0].tlsSpkiSha256'],
    ['a certificate that is not hex', { ...file, certificates: ['0xzz'] }, 'certificates[0]'],
    [
      'a certificate too long',
      { ...file, certificates: [`0x${'00'.repeat(MAX_CERTIFICATE_BYTES + 1)}`] },
      'certificates[0]',
    ],
  ])('refuses %s and says where', (_, value, place) => {
    expect(() => parseCluster(value)).toThrow(badFile)
    expect(() => parseCluster(value)).toThrow(place)
  })

  it('names all problems at once', () => {
    const value = { ...file, version: 9, clusterId: 1, threshold: 'x', nodes: [{ ...first, index: 0, name: '' }] }
    for (const place of ['version', 'clusterId', 'threshold', 'nodes']) expect(() => parseCluster(value)).toThrow(place)
    expect(() => parseCluster(withNode({ index: 0, name: '', url: 'x' }))).toThrow(
      expect.objectContaining({
        data: {
          problems: [expect.stringContaining('index'), expect.stringContaining('name'), expect.stringContaining('url')],
        },
      }),
    )
  })

  it('is read totally', () => {
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom(...Object.keys(file)), (value, field) => {
        expect(() => parseCluster(value)).toThrow(KmsError)
        const changed = { ...file, [field]: value }
        const parsed = attempt(() => parseCluster(changed))
        expect(parsed === undefined ? changed : formatCluster(parsed)).toEqual(changed)
      }),
    )
  })
})

describe('the keys of a cluster', () => {
  const spec: KeygenSpec = {
    kind: 'keygen',
    suite: 1,
    clusterId: cluster.config.clusterId,
    purpose: 'ecies-dec',
    keyName: parseKeyName('ecies/421614'),
    generation: 1,
    epoch: 0,
    attempt: 0,
    newConfig: cluster.config,
    notAfter: 1_700_000_000,
  }
  const certificate = certify(spec)
  const holding = (...certificates: Uint8Array[]): Cluster =>
    parseCluster({ ...file, certificates: certificates.map(hex) })

  it('are those of its certificates', () => {
    const keys = clusterKeys(curve, verifyEd25519, holding(certificate))
    expect(keys).toHaveLength(1)
    expect(keys[0]).toMatchObject({ keyName: 'ecies/421614', purpose: 'ecies-dec', generation: 1, t: 3 })
    expect(clusterKeys(curve, verifyEd25519, cluster)).toEqual([])
  })

  it('are refused together when one certificate is bad', () => {
    const forged = certificate.map((byte, at) => (at === certificate.length - 1 ? byte ^ 1 : byte))
    for (const bad of [forged, Uint8Array.of(1), certificate.slice(1)])
      expect(() => clusterKeys(curve, verifyEd25519, holding(certificate, bad))).toThrow(
        expect.objectContaining({ code: 'bad-certificate' }),
      )
  })

  it('are refused when another committee made them', () => {
    const strangers = parseCluster({ ...file, threshold: 2, certificates: [hex(certificate)] })
    expect(() => clusterKeys(curve, verifyEd25519, strangers)).toThrow(
      expect.objectContaining({ code: 'bad-certificate' }),
    )
  })
})

function omitTls(): object {
  const { tlsSpkiSha256: _, ...rest } = node(1)
  return rest
}

/** A certificate that all five members signed, over a commitment that stands for any ceremony's result. */
function certify(spec: KeygenSpec): Uint8Array {
  const commitment = commit(curve, [5n, 6n, 7n])
  const [groupKey = curve.generator] = commitment
  const ceremony = ceremonyId(spec)
  const sid = bytes32('sid')
  const members = spec.newConfig.members
  const dealings = members.map(({ index }) => ({ dealer: index, dealHash: bytes32(`deal ${index}`) }))
  const keyId = keygenKeyId(spec, groupKey, sid)
  const outcome = { ceremony, view: 0, sid, keyId, t: spec.newConfig.t, commitment, dealings }
  const o = outcomeHash(encodeOutcome(outcome))
  const signAll = (name: 'vote' | 'commit', payload: Uint8Array) =>
    members.map(({ index }) => {
      const sign = (message: Uint8Array): Uint8Array => ed25519.sign(message, bytes32(names[index - 1] ?? ''))
      return { index, signature: signMessage(sign, { name, ceremony, view: 0, from: index }, payload).signature }
    })
  const votes = signAll('vote', encodeVote({ outcomeHash: o, holds: true }))
  return encodeCertificate({
    spec,
    outcome,
    authorizations: [],
    votes,
    view: 0,
    laterVotes: [],
    commits: signAll('commit', o),
  })
}
