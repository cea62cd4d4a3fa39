import { KmsError } from '@tkms/dkg'
import type { Log } from './ops/log.ts'

/** What undoes one part of a start. */
export type Stop = () => Promise<void> | void

/** In reverse order; one that fails does not keep the others from being stopped. */
export async function stopAll(stops: readonly Stop[], log: Log): Promise<void> {
  for (const stop of stops.toReversed()) {
    try {
      await stop()
    } catch (cause) {
      log.error({ cause: cause instanceof Error ? cause : new KmsError('unexpected', String(cause)) }, 'stop-failed')
    }
  }
}
