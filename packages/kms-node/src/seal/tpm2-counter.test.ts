import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { expect, it, onTestFinished } from 'vitest'
import { openCounter } from './tpm2-counter.ts'
import { createTpm2Tools } from './tpm2-tools.ts'

/** What tpm2-tools 5.4 says. */
const BUSY = 'ERROR: Esys_NV_ReadPublic(0x922) - tpm:warn(2.0): the TPM was not able to start the command'
const GONE =
  'ERROR:esys:src/tss2-esys/esys_tr.c:243:Esys_TR_FromTPMPublic_Finish() Error NV_ReadPublic ErrorCode (0x0000018b)'
const OTHER =
  'ERROR: Esys_NV_Read(0x98E) - tpm:session(1):the authorization HMAC check failed and DA counter incremented'

it.each([
  [BUSY, 'tpm-refused'],
  [GONE, 'rollback-detected'],
  [OTHER, 'rollback-detected'],
])('%s: %s', async (said, code) => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-tools-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const tool = join(directory, 'tpm2_nvreadpublic')
  await writeFile(tool, `#!/bin/sh\necho '${said}' >&2\nexit 1\n`)
  await chmod(tool, 0o700)
  const tools = createTpm2Tools({ tcti: 'none', path: `${directory}:/usr/bin:/bin` })
  const auth = Secret.copyOf(Buffer.from('0'.repeat(32)))
  const counter = openCounter(tools, { index: 0x0181_0000, name: new Uint8Array(34) }, auth)
  await expect(counter.read()).rejects.toMatchObject({ code })
})
