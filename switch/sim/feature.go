package sim

// Feature is something of the market or of a payment's life that a history had. As
// with faults, each has to come up, or the run proves less than it says.
type Feature uint8

// The features. Up to traits, each has to meet every kind of fault in some history.
const (
	FeeTaken Feature = iota
	Sponsored
	PairwiseWindow
	GrossWindow
	SeveralModels
	ClosedByClock
	TwoPeoplesCap
	Disputed
	Snapshots
	AdoptedTogether
	CoveredShort
	TwoCurrencies
	traits

	FeeTier
	FeeLeast
	FeeMost
	FeeSplit
	FeeReturned
	FeeKept
	SponsorChanged
	SponsorStays // since positions are open
	MemoRefuses
	CapRejected
	CapStale
	Withdrawn
	PersonSuspends
	DirectorySuspends
	Represented
	PreArbitrated
	Arbitrated
	Ruled
	Withdrawal // of a dispute
	DeemedAccepted
	DeemedWithdrawn
	ChargedBack
	DisputeBars // a refund, or a reversal
	DisputeExceeds
	RefundAndChargeback
	ByPrefunding
	ByAnother
	BetweenTwo // a cover
	RecastBetweenTwo
	MethodChanged
	ByHand
	SnapshotRead
	SnapshotTorn
	SnapshotFlipped
	SnapshotOlder
	NightPasses
	CrossRefund
	CrossReversed
	CrossSpent // the payer's amount was fixed
	CrossDisputed
	DebtDeferred
	TriedAgain       // a debit that was refused
	CreditTriedAgain // the same of a credit
	RetryOutlived    // its end was written by another writer than sent it
	featureCount
)

var featureNames = [featureCount]string{"fees", "sub-participant", "bilateral window", "gross window", "several models", "closed by the clock", "cap by two people", "dispute",
	"snapshots", "two adoptions at once", "cover", "two currencies", "", "fee of a tier", "least fee", "most fee", "fee split", "fee returned", "fee kept", "sponsor changed", "sponsor stays", "sub-participant refused",
	"cap rejected", "cap stale", "prefunding withdrawn", "suspended by a person", "suspended by the directory", "represented", "pre-arbitrated", "arbitrated", "ruled", "dispute withdrawn",
	"deemed accepted", "deemed withdrawn", "charged back", "dispute bars a refund or reversal", "dispute of too much", "refund and chargeback", "covered by prefunding", "covered by another", "cover between two",
	"recast between two", "method changed", "settled by hand", "snapshot read", "snapshot torn", "snapshot flipped", "older snapshot", "a night passes", "refund of two currencies", "two currencies turned back", "payer's amount fixed", "dispute of two currencies", "debt deferred",
	"debit tried again", "credit tried again", "end of a debit tried again is a successor's"}

// String returns the name that reports use.
func (f Feature) String() string { return featureNames[f] }

// Features returns all of them, in the order of reports.
func Features() (all []Feature) {
	for f := range featureCount {
		if f != traits {
			all = append(all, f)
		}
	}
	return all
}
