export { type KeygenMember, type KeygenOptions, type KeygenRun, runKeygen } from './keygen.ts'
