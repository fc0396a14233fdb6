package join

// maxTargets limits the candidates that full doors can make us dial.
const maxTargets = 64
