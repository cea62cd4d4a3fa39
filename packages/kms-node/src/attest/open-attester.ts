import type { AttestationConfig } from '../config/types.ts'
import { DSTACK_SOCKET } from '../dstack/guest-agent.ts'
import type { Attester } from '../ports.ts'
import { createDstackAttester } from './dstack-attester.ts'
import { createReportFiles, REPORT_DIRECTORY } from './report-files.ts'
import { openSimulatedAttester } from './simulated-attester.ts'
import { createTdxAttester } from './tdx-attester.ts'

/** The one provider that node.yaml names; no other takes its place. @throws KmsError `bad-attestation-file` */
export async function openAttester(config: AttestationConfig): Promise<Attester> {
  switch (config.provider) {
    case 'tdx':
      return createTdxAttester({ files: createReportFiles(config.reportDirectory ?? REPORT_DIRECTORY) })
    case 'dstack':
      return createDstackAttester({ socket: config.dstackSocket ?? DSTACK_SOCKET })
    case 'simulated':
      return openSimulatedAttester(config.simulatedFile ?? '')
    case 'none':
      return { provider: 'none', quote: async () => undefined }
  }
}
