import { hexToBytes } from '@noble/hashes/utils.js'
import { Secret } from '@tkms/dkg'
import { z } from 'zod'
import { askGuestAgent, badReply } from '../dstack/guest-agent.ts'
import type { Rng } from '../ports.ts'
import { createKeySealer, type NodeSealer } from './key-sealer.ts'
import { createSaltedKeys } from './salted-keys.ts'

/**
 * The agent derives by path alone; the purpose only enters its signature chain. Nothing else of a node asks for this path, and the key is
 * used for nothing but HKDF.
 */
const QUESTION = { path: 'tkms/1/seal', purpose: 'tkms-seal' }
const MAX_REPLY_BYTES = 64 * 1024

const keyReply = z.object({ key: z.string().regex(/^(?:0x)?[0-9a-fA-F]{64}$/) })

/**
 * Seals under a key that dstack's guest agent derives for this application: HKDF-SHA256(GetKey "tkms/1/seal", salt(32), "TKMS/1/seal/dstack").
 * @param options.socket path of the agent's Unix socket
 * @throws from `seal` and `unseal` KmsError `guest-agent-unavailable` (retryable), `guest-agent-bad-reply`
 */
export function createDstackSealer(
  options: { readonly socket: string; readonly timeoutMs?: number },
  rng: Rng,
): NodeSealer {
  const { socket } = options
  const root = async (): Promise<Secret> => {
    const call = { ...options, method: 'GetKey', body: QUESTION, maxReplyBytes: MAX_REPLY_BYTES }
    const reply = keyReply.safeParse(await askGuestAgent(call))
    if (!reply.success) throw badReply(socket, 'GetKey')
    return new Secret(hexToBytes(reply.data.key.replace(/^0x/, '')))
  }
  return createKeySealer(createSaltedKeys('dstack', root, rng), rng)
}
