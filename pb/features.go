package pb

// The features beyond version 1, see HandshakeStart.features.
const (
	// FeatureCarry says that a peer carries links of others, and has such links.
	FeatureCarry = 1
	// FeatureData says that a peer takes messages with data. Its record says so too.
	FeatureData = 2
)

// FeatureWithdraw says that a peer drops deposits that are withdrawn, FeaturePing that it answers a
// ping on a link.
const (
	FeatureWithdraw = 80
	FeaturePing     = 81
)

// FeaturePast says that a peer keeps a history, and gives the last of it to those who ask. See
// HandshakeStart.features.
const FeaturePast = 60

// Features are those that each peer of this version has.
func Features() []uint32 { return []uint32{FeatureCarry, FeatureData, FeatureWithdraw, FeaturePing} }
