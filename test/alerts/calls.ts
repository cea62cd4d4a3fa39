import { setTimeout as passed } from 'node:timers/promises'
import type { KmsClient, SealedEnvelope } from '@tkms/kms-client'

const PAUSE_MS = 50

/** Decrypts one after the other until it is stopped. */
export function createCalls(
  client: KmsClient,
  envelope: SealedEnvelope,
): { stop(): Promise<{ readonly answered: number; readonly failed: number }> } {
  const stopping = new AbortController()
  const count = { answered: 0, failed: 0 }
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const isAnswered = await client.decrypt(envelope).then(
        () => true,
        () => false,
      )
      count[isAnswered ? 'answered' : 'failed']++
      await passed(PAUSE_MS)
    }
  }
  const running = run()
  return {
    stop: async () => {
      stopping.abort()
      await running
      return count
    },
  }
}
