/** How advice names this program: nobody has it on the PATH. */
export const COMMAND = 'npm run --silent kms-node --'
