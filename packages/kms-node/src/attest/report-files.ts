import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { readBounded } from '../files.ts'

/**
 * The directory that root makes for the node among the kernel's reports of a confidential machine (Linux 6.7,
 * Documentation/ABI/testing/configfs-tsm-report). Only root may write the attributes of a new one: `deploy/tdx/prepare-report.sh` lets the node.
 */
export const REPORT_DIRECTORY = '/sys/kernel/config/tsm/report/tkms'

/** The kernel's files of one report. */
export interface ReportFiles {
  /** @throws RangeError where it is longer than `maxBytes`; errors of the system */
  read(attribute: string, maxBytes: number): Promise<Uint8Array>
  /** In one call: each makes a new generation. @throws errors of the system */
  write(attribute: string, bytes: Uint8Array): Promise<void>
}

export const createReportFiles = (directory: string): ReportFiles => ({
  async read(attribute, maxBytes) {
    const path = join(directory, attribute)
    const bytes = await readBounded(path, maxBytes)
    if (bytes === undefined) throw new Error(`there is no ${path}`)
    return bytes
  },
  async write(attribute, bytes) {
    // Neither made nor cut, for these files are the kernel's.
    const file = await open(join(directory, attribute), constants.O_WRONLY)
    try {
      const { bytesWritten } = await file.write(bytes)
      if (bytesWritten !== bytes.length) throw new Error(`the kernel took ${bytesWritten} of ${bytes.length} bytes`)
    } finally {
      await file.close()
    }
  },
})
