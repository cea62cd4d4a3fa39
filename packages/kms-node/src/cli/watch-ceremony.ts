import { KmsError } from '@tkms/dkg'
import type { AdminClient } from '../admin/admin-client.ts'
import type { CeremonyStatus } from '../ceremony/status.ts'
import { isFinal } from '../ceremony/status.ts'
import { describeStatus } from './describe-ceremony.ts'
import type { Output } from './output.ts'

/** How a watched ceremony goes on: not final yet. */
const isOpen = (status: CeremonyStatus): boolean => !isFinal(status)

/**
 * Follows one ceremony, or without an id the first that ends, and shows every change.
 * @param id 0x and 64 hex digits
 * @throws KmsError `ceremony-stopped` with who is missing, `node-not-running`
 */
export async function watchCeremony(
  client: AdminClient,
  id: string | undefined,
  output: Output,
): Promise<CeremonyStatus> {
  const stop = new AbortController()
  const seen = new Set<string>()
  const lines = client.lines('/watch', stop.signal) as AsyncGenerator<CeremonyStatus>
  try {
    for await (const status of lines) {
      if (id !== undefined && status.ceremony !== id) continue
      const wasOpen = seen.has(status.ceremony)
      if (isOpen(status)) seen.add(status.ceremony)
      else if (id === undefined && !wasOpen) continue
      if (output.json) output.result(status, [])
      else show(status)
      if (isOpen(status)) continue
      endProgress()
      if (status.stage === 'complete') return status
      throw new KmsError('ceremony-stopped', status.reason ?? `the ceremony is ${status.stage}`, {
        data: {
          ceremony: status.ceremony,
          stage: status.stage,
          missing: (status.missing ?? []).map(({ name }) => name),
        },
      })
    }
  } finally {
    stop.abort()
  }
  throw new KmsError('node-not-running', 'the node stopped while it was watched')
}

let lastLine = ''
let lastAdvice = ''

/** One line that is rewritten on a terminal, a new line per change elsewhere. */
function show(status: CeremonyStatus): void {
  const line = describeStatus(status)
  if (line === lastLine) return
  lastLine = line
  const { advice = '' } = status
  if (advice !== '' && advice !== lastAdvice) {
    endProgress()
    process.stdout.write(`${advice}\n`)
    lastLine = line
  }
  lastAdvice = advice
  process.stdout.write(process.stdout.isTTY ? `\r\u001B[2K${line}` : `${line}\n`)
}

function endProgress(): void {
  if (process.stdout.isTTY && lastLine !== '') process.stdout.write('\n')
  lastLine = ''
}
