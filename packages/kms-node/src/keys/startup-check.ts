import type { ParticipantIndex } from '@tkms/dkg'

/** For members that do not answer, and for the question whether another process has this identity. */
export const DEFAULT_STARTUP_WAIT_MS = 5_000

/**
 * The start-up self-check (protocol 5): nothing is served before every other member of the committees in which this node holds a share was
 * asked whether a key has a later sharing, or did not answer in time. One member's certificate is proof enough, whoever else is silent.
 */
export interface StartupCheck {
  /** This peer's claims were looked into. */
  answered(peer: ParticipantIndex): void
  /** Resolves when the check is over: with whom nobody could reach, and whose claims are looked into when they come. */
  readonly done: Promise<readonly ParticipantIndex[]>
  /** Ends it now. */
  stop(): void
}

/** @param waitMs for those who do not answer */
export function createStartupCheck(peers: readonly ParticipantIndex[], waitMs: number): StartupCheck {
  const silent = new Set(peers)
  const { promise: done, resolve } = Promise.withResolvers<readonly ParticipantIndex[]>()
  const finish = (): void => {
    clearTimeout(timer)
    resolve([...silent])
  }
  const timer = setTimeout(finish, waitMs)
  timer.unref()
  if (silent.size === 0) finish()
  return {
    done,
    answered: (peer) => {
      silent.delete(peer)
      if (silent.size === 0) finish()
    },
    stop: finish,
  }
}
