package pb

// FeatureCarry says that a peer carries links of others, and has such links. See
// HandshakeStart.features.
const FeatureCarry = 1

// FeatureWithdraw says that a peer drops deposits that are withdrawn, FeaturePing that it answers a
// ping on a link.
const (
	FeatureWithdraw = 80
	FeaturePing     = 81
)

// Features are those that this version knows.
func Features() []uint32 { return []uint32{FeatureCarry, FeatureWithdraw, FeaturePing} }
