import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  type CeremonyEffect,
  type CeremonyInput,
  type CeremonySpec,
  type CeremonyTimings,
  encodeSpec,
  type MemberSignature,
  type ParticipantIndex,
  type Secret,
  type VerifiedKey,
} from '@tkms/dkg'
import { type EngineReply, type EngineRequest, expose, fromWireEffect, toWireInput, wipe } from './engine-messages.ts'
import { ceremonyError } from './errors.ts'

/** A step of a committee of 64 takes seconds; a process that needs longer than this is lost. */
const STEP_TIMEOUT_MS = 120_000
/** The bundle of `engine-main.ts`, from wherever this runs: it starts in a third of the time that its modules take. */
const ENTRY = fileURLToPath(import.meta.resolve('@tkms/kms-node/engine'))

export interface EngineProcessParams {
  /** Ed25519 seed; borrowed for the start. */
  readonly identity: Secret
  readonly spec: CeremonySpec
  readonly self: ParticipantIndex
  readonly timings: CeremonyTimings
  /** RESHARE: the sharing that X replaces, verified. */
  readonly previous?: VerifiedKey | undefined
  /** RESHARE, IMPORT: AUTH, verified. */
  readonly authorizations?: readonly MemberSignature[] | undefined
}

/** The engine of one ceremony in a process of its own. One call at a time. */
export interface EngineProcess {
  readonly pid: number | undefined
  /** First call: opens the ceremony, or resumes it from `snapshot` (borrowed). @throws KmsError `engine-crashed`, `engine-timeout` */
  open(snapshot: Secret | undefined): Promise<readonly CeremonyEffect[]>
  /** @throws KmsError `engine-crashed`, `engine-timeout` */
  step(input: CeremonyInput): Promise<readonly CeremonyEffect[]>
  /** Ends the process; resolves when it is gone. */
  stop(): Promise<void>
}

/** Starts the process with a clean command line and an empty environment. */
export function startEngineProcess(params: EngineProcessParams): EngineProcess {
  const child = fork(ENTRY, [], {
    serialization: 'advanced',
    execArgv: [],
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.on('error', () => resolve())
  })

  return {
    pid: child.pid,
    open: async (snapshot) => {
      const identity = expose(params.identity)
      const exposed = snapshot === undefined ? undefined : expose(snapshot)
      const { self, timings, previous, authorizations } = params
      const request = {
        type: 'open',
        identity,
        spec: encodeSpec(params.spec),
        self,
        timings,
        ...(previous && { previous }),
        ...(authorizations && { authorizations }),
      } as const
      try {
        return await call(child, exposed === undefined ? request : { ...request, snapshot: exposed })
      } finally {
        identity.fill(0)
        exposed?.fill(0)
      }
    },
    step: async (input) => {
      const wired = toWireInput(input)
      try {
        return await call(child, { type: 'input', input: wired })
      } finally {
        wipe(wired)
      }
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await gone
    },
  }
}

function call(child: ChildProcess, request: EngineRequest): Promise<readonly CeremonyEffect[]> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer)
      child.off('message', onReply)
      child.off('exit', onExit)
      settle()
    }
    const crashed = (code: string, cause?: unknown): void =>
      finish(() =>
        reject(ceremonyError('engine-crashed', 'the process of a ceremony ended', { data: { reason: code }, cause })),
      )
    const onReply = (reply: EngineReply): void => {
      if (reply.type === 'failed') crashed(reply.code)
      else finish(() => resolve(reply.effects.map(fromWireEffect)))
    }
    const onExit = (code: number | null, signal: string | null): void => crashed(signal ?? `exit ${code ?? '?'}`)
    const timer = setTimeout(
      () => finish(() => reject(ceremonyError('engine-timeout', 'the process of a ceremony does not answer'))),
      STEP_TIMEOUT_MS,
    )
    child.on('message', onReply)
    child.on('exit', onExit)
    if (child.exitCode !== null || child.signalCode !== null || !child.connected) crashed('not running')
    else
      child.send(request, (cause) => {
        if (cause !== null) crashed('channel closed', cause)
      })
  })
}
