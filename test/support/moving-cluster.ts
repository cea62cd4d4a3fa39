import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import type { Answer, Authorization } from '@tkms/dkg'
import { type HttpExchange, KmsError, type Transport, type TransportReply } from '@tkms/kms-client'
import { type CeremonySpec, configHash, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { addCertificate } from '../../packages/dkg/src/cluster-keys.ts'
import { type Cluster, type ClusterNode, formatCluster } from '../../packages/dkg/src/cluster.ts'
import { answerSignedBytes } from '../../packages/dkg/src/decrypt/answer.ts'
import { encodeSingle } from '../../packages/dkg/src/decrypt/box.ts'
import { createPartial, pdecContext } from '../../packages/dkg/src/decrypt/partial.ts'
import { decodeRequest, type DelegationRequest, requestHash } from '../../packages/dkg/src/decrypt/request.ts'
import { itemPoint } from '../../packages/dkg/src/decrypt/request-item.ts'
import { bytesKey, equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import { secretScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import { type HandMade, keygenByHand, reshareByHand, type Signers } from './hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from './simulated-committee.ts'

/** One node as clients see it: the sharings it serves, those it has left behind, the cluster file it shows. */
export interface MovingNode {
  readonly identity: Identity
  serves: readonly HandMade[]
  leftBehind: readonly HandMade[]
  file: Cluster
  /** Added to its share: a node that lies. */
  error: bigint
  /** Answers a request for one sharing out of another. */
  answersFrom?: HandMade
  up: boolean
}

export interface MovingCluster {
  readonly world: ReturnType<typeof simulatedCommittee>
  readonly genesis: HandMade
  readonly born: Cluster
  readonly nodes: ReadonlyMap<number, MovingNode>
  node(index: number): MovingNode
  members(...indices: readonly number[]): Identity[]
  /** The next epoch of `previous` at these members, by hand. */
  reshare(previous: HandMade, indices: readonly number[], t: number, signers?: Signers): HandMade
  /** The cluster file with the entries of all nodes and these certificates. */
  fileWith(...made: readonly HandMade[]): Cluster
  readonly transport: Transport
  readonly exchange: HttpExchange
  /** Sharings of the answers given, in order. */
  readonly answered: Uint8Array[]
}

export const entryOf = ({ index, publicKey }: Identity, port = 8000 + index): ClusterNode => ({
  index,
  publicKey,
  name: `node-${index}`,
  multiaddrs: [],
  url: `http://127.0.0.1:${port}`,
})

/** A cluster of nodes 1..5 with t = 3, and as many more as `n` says, without processes or sockets. */
export function createMovingCluster(n: number): MovingCluster {
  const world = simulatedCommittee({ n, t: 3, seed: 81, signatures: 'ed25519' })
  const { curve, verify, identities } = world
  const members = (...indices: readonly number[]): Identity[] =>
    identities.filter(({ index }) => indices.includes(index))
  const first = members(1, 2, 3, 4, 5)
  const newConfig = createConfig({ clusterId: world.spec.clusterId, t: 3, members: first })
  const spec: CeremonySpec = { ...world.spec, newConfig }
  const genesis = keygenByHand(spec, first)
  const entries = first.map((identity) => entryOf(identity))
  const born = { config: newConfig, configHash: configHash(newConfig), nodes: entries, certificates: [genesis.bytes] }
  const nodes = new Map<number, MovingNode>(
    identities.map((identity) => [
      identity.index,
      { identity, serves: first.includes(identity) ? [genesis] : [], leftBehind: [], file: born, error: 0n, up: true },
    ]),
  )
  const node = (index: number): MovingNode => {
    const found = nodes.get(index)
    if (found === undefined) throw new Error(`no node ${index}`)
    return found
  }
  const answered: Uint8Array[] = []
  const files = new Map<string, Cluster>()
  const fileWith = (...made: readonly HandMade[]): Cluster => {
    const name = made.map(({ sharingId }) => bytesKey(sharingId)).join(' ')
    const last = made.at(-1)
    if (last === undefined) return { ...born, nodes: identities.map((identity) => entryOf(identity)) }
    const file = files.get(name) ?? addCertificate(curve, verify, fileWith(...made.slice(0, -1)), last.bytes)
    files.set(name, file)
    return file
  }
  const unreachable = (): KmsError => new KmsError('unreachable', 'nobody there')
  return {
    world,
    genesis,
    born,
    nodes,
    node,
    members,
    reshare: (previous, indices, t, signers) => reshareByHand(previous, members(...indices), t, signers),
    fileWith,
    answered,
    transport: {
      async ask(asked, authorization, { signal }) {
        // A pause as the network makes one: calls overlap.
        await new Promise((resolve) => setImmediate(resolve))
        signal.throwIfAborted()
        const found = node(asked.index)
        if (!found.up || asked.url !== entryOf(found.identity).url) throw unreachable()
        return reply(world, found, authorization, answered)
      },
      close: () => Promise.resolve(),
    },
    async exchange({ url }) {
      await new Promise((resolve) => setImmediate(resolve))
      const found = [...nodes.values()].find(({ identity }) => url === `${entryOf(identity).url}/v1/cluster`)
      if (found === undefined || !found.up) throw unreachable()
      return { status: 200, body: new TextEncoder().encode(JSON.stringify(formatCluster(found.file))) }
    },
  }
}

function reply(
  world: MovingCluster['world'],
  node: MovingNode,
  authorization: Authorization,
  answered: Uint8Array[],
): TransportReply {
  const request = decodeRequest(world.curve, authorization.payload)
  const named = (made: HandMade): boolean =>
    request.sharingId !== undefined && equalBytes(made.sharingId, request.sharingId)
  const sharing = node.serves.find(named)
  if (sharing === undefined)
    return { kind: 'refusal', code: node.leftBehind.some(named) ? 'superseded' : 'wrong-sharing' }
  const from = node.answersFrom ?? sharing
  answered.push(from.sharingId)
  return { kind: 'answer', answer: answerOf(world, node, from, request, authorization.payload) }
}

/** As a node makes it: D with its proof, boxed to the requester, signed. */
function answerOf(
  { curve }: MovingCluster['world'],
  { identity, error }: MovingNode,
  made: HandMade,
  request: DelegationRequest,
  payload: Uint8Array,
): Answer {
  const { index } = identity
  const [item] = request.items
  if (item === undefined) throw new Error('a request without items')
  const { requestId, spki } = request
  const { keyId, sharingId } = made
  const about = { keyId, sharingId, purpose: made.spec.purpose, epoch: made.spec.epoch, index, requestId }
  const ctx = pdecContext({ ...about, requestHash: requestHash(payload) })
  const share = secretScalar((made.shares.get(index) ?? 0n) + error)
  const { D, proof } = createPartial(curve, { share, K: itemPoint(item), ctx, aux: bytesOf('aux') })
  const content = encodeSingle({ index, D, proof })
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const oaep = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const box = Uint8Array.from(publicEncrypt(oaep, content))
  const signature = identity.sign(answerSignedBytes({ ctx, box, content }))
  // The built package and its sources have the same shapes, and brands of their own.
  return { index, sharingId, requestId, box, signature } as unknown as Answer
}
