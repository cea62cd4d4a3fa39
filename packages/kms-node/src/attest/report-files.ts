import { constants } from 'node:fs'
import { mkdir, open, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readBounded } from '../files.ts'

/** Where the kernel keeps the reports of a confidential machine (Linux 6.7, Documentation/ABI/testing/configfs-tsm-report). */
export const TSM_REPORTS = '/sys/kernel/config/tsm/report'

/** The kernel's files of one report: a directory of attributes that come and go with it. */
export interface ReportFiles {
  create(report: string): Promise<void>
  remove(report: string): Promise<void>
  /** @throws RangeError where it is longer than `maxBytes`; errors of the system */
  read(report: string, attribute: string, maxBytes: number): Promise<Uint8Array>
  /** In one call: each makes a new generation. */
  write(report: string, attribute: string, bytes: Uint8Array): Promise<void>
}

export const createReportFiles = (directory: string = TSM_REPORTS): ReportFiles => ({
  create: (report) => mkdir(join(directory, report)),
  remove: (report) => rmdir(join(directory, report)),
  async read(report, attribute, maxBytes) {
    const path = join(directory, report, attribute)
    const bytes = await readBounded(path, maxBytes)
    if (bytes === undefined) throw new Error(`there is no ${path}`)
    return bytes
  },
  async write(report, attribute, bytes) {
    // Neither made nor cut, for these files are the kernel's.
    const file = await open(join(directory, report, attribute), constants.O_WRONLY)
    try {
      const { bytesWritten } = await file.write(bytes)
      if (bytesWritten !== bytes.length) throw new Error(`the kernel took ${bytesWritten} of ${bytes.length} bytes`)
    } finally {
      await file.close()
    }
  },
})
