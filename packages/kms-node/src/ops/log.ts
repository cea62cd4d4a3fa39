import type { KmsError } from '@tkms/dkg'
import { type DestinationStream, type Logger, pino } from 'pino'
import type { LogLevel } from '../config/types.ts'
import { isKmsError } from '../errors.ts'
import type { NetworkEvents } from '../net/ceremony-protocol.ts'
import type { DryRunEvent } from '../serve/dry-run.ts'
import type { DelegationEvent } from '../serve/pipeline.ts'

export type Log = Logger

/**
 * JSON lines with ISO times. Secrets print as `[redacted]` by their type, and errors as code, message, data and the code of their
 * cause: never a stack of another party's making.
 */
export function createLog(options: {
  readonly level: LogLevel | 'silent'
  /** The node's name, in every line. */
  readonly node: string
  readonly destination?: DestinationStream
}): Log {
  const settings = {
    level: options.level,
    base: { node: options.node },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError, cause: describeError },
  }
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination)
}

/** An error as the log shows it. */
export function describeError(error: unknown): Readonly<Record<string, unknown>> {
  if (isKmsError(error)) return describeKmsError(error)
  return error instanceof Error
    ? { name: error.name, message: error.message, stack: error.stack }
    : { message: 'not an error' }
}

const describeKmsError = ({ code, message, data, cause }: KmsError): Readonly<Record<string, unknown>> => ({
  code,
  message,
  data,
  ...(cause === undefined ? {} : { cause: describeError(cause) }),
})

/** One line per request: releases and refusals at `info`, failures of this node at `error`. */
export function logDelegation(log: Log, event: DelegationEvent): void {
  if (event.outcome === 'internal') log.error(event, 'delegation failed')
  else log.info(event, event.outcome === 'answer' ? 'delegation answered' : 'delegation refused')
}

/** One line per explanation, beside those of requests: who asks what would be answered learns it without a release. */
export const logDryRun = (log: Log, event: DryRunEvent): void => log.info(event, 'delegation explained')

/** Peers that come and go, and streams that are refused. */
export const logPeers = (log: Log): NetworkEvents => ({
  onPeer: (event, peer) => log.info({ peer }, `peer-${event}`),
  onRefused: (reason, remote) => log.warn({ reason, remote }, 'ceremony-stream-refused'),
})
