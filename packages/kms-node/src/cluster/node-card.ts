import { bytesKey, decodeNodePublicKey, KmsError, type NodePublicKey } from '@tkms/dkg'
import { z } from 'zod'
import { peerIdOf } from '../net/roster.ts'

const hex32 = z.string().regex(/^0x[0-9a-f]{64}$/, '0x and 64 lower-case hex digits')

/** What `init` prints and `cluster new` reads: everything others need to know of a node, all of it public. */
export interface NodeCard {
  readonly name: string
  /** 0x and 64 hex digits. */
  readonly ed25519: string
  readonly peerId: string
  readonly multiaddrs: readonly string[]
  readonly url: string
  /** 0x and 64 hex digits; absent with plain HTTP. */
  readonly tlsSpkiSha256?: string | undefined
}

const schema: z.ZodType<NodeCard> = z.strictObject({
  name: z.string().min(1).max(64),
  ed25519: hex32,
  peerId: z.string().min(1).max(128),
  multiaddrs: z.array(z.string().max(256)).min(1).max(16),
  url: z.string().max(512),
  tlsSpkiSha256: hex32.optional(),
})

/** @throws KmsError `bad-node-card` */
export function parseNodeCard(value: unknown, source: string): NodeCard & { readonly publicKey: NodePublicKey } {
  const parsed = schema.safeParse(value)
  const refuse = (problems: readonly string[]): never => {
    throw new KmsError(
      'bad-node-card',
      `${source} is not a node card:\n${problems.map((line) => `  ${line}`).join('\n')}`,
      {
        data: { source, problems },
      },
    )
  }
  if (!parsed.success) return refuse(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`))
  const publicKey = decodeNodePublicKey(Uint8Array.from(Buffer.from(parsed.data.ed25519.slice(2), 'hex')))
  if (parsed.data.peerId !== peerIdOf(publicKey).toString()) return refuse(['peerId: does not belong to ed25519'])
  return { ...parsed.data, publicKey }
}

export interface NodeCardInput {
  readonly name: string
  readonly publicKey: NodePublicKey
  readonly multiaddrs: readonly string[]
  readonly url: string
  /** Absent with plain HTTP. */
  readonly tlsSpkiSha256?: Uint8Array | undefined
}

export function formatNodeCard({ name, publicKey, multiaddrs, url, tlsSpkiSha256 }: NodeCardInput): NodeCard {
  return {
    name,
    ed25519: `0x${bytesKey(publicKey)}`,
    peerId: peerIdOf(publicKey).toString(),
    multiaddrs: [...multiaddrs],
    url,
    ...(tlsSpkiSha256 !== undefined && { tlsSpkiSha256: `0x${bytesKey(tlsSpkiSha256)}` }),
  }
}
