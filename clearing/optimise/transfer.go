package optimise

import (
	"cmp"
	"container/heap"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Transfer is one movement of money from one participant to another, without an
// agent between them.
type Transfer struct {
	Debtor   tongma.ParticipantID
	Creditor tongma.ParticipantID
	Amount   tongma.Money
}

// side is the net debtors, or the net creditors, that are not yet done.
type side []clearing.NetFigure

func (s side) Len() int { return len(s) }
func (s side) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(s[j].Net, s[i].Net), cmp.Compare(s[i].Participant, s[j].Participant)) < 0
}
func (s side) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *side) Push(x any)   { *s = append(*s, x.(clearing.NetFigure)) }
func (s *side) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// FewestTransfers plans who pays whom directly so that every net figure is met:
// the largest debtor pays the largest creditor, until all is paid. In a currency
// with n figures that are not zero it needs n-1 transfers at most; to find the
// true minimum is NP-hard. It costs O(n · log n). Figures that do not add up to
// zero are refused (SheetMismatch). Transfers come by currency, in the order in
// which they were found.
func FewestTransfers(nets []clearing.NetFigure) ([]Transfer, error) {
	byCurrency := map[tongma.Currency][2]side{}
	type account struct {
		currency    tongma.Currency
		participant tongma.ParticipantID
	}
	seen := map[account]bool{}
	for _, n := range nets {
		if seen[account{n.Currency, n.Participant}] || n.Net == math.MinInt64 {
			return nil, mismatch(n.Currency, "a participant stands twice, or its figure has no opposite")
		}
		seen[account{n.Currency, n.Participant}] = true
		both := byCurrency[n.Currency]
		switch {
		case n.Net > 0:
			both[0] = append(both[0], n)
		case n.Net < 0:
			n.Net = -n.Net
			both[1] = append(both[1], n)
		}
		byCurrency[n.Currency] = both
	}
	var out []Transfer
	for _, c := range sortedCurrencies(byCurrency) {
		both := byCurrency[c]
		debits, ok1 := sum(both[0])
		credits, ok2 := sum(both[1])
		if debits != credits || !ok1 || !ok2 {
			return nil, mismatch(c, "figures do not add up to zero")
		}
		out = pay(out, &both[0], &both[1])
	}
	return out, nil
}

func mismatch(c tongma.Currency, detail string) error {
	return &tongma.Error{Op: "optimise", Reason: tongma.SheetMismatch, Detail: c.Code() + ": " + detail}
}

func sum(s side) (total int64, ok bool) {
	for _, n := range s {
		if n.Net > math.MaxInt64-total {
			return 0, false
		}
		total += n.Net
	}
	return total, true
}

func pay(out []Transfer, debtors, creditors *side) []Transfer {
	heap.Init(debtors)
	heap.Init(creditors)
	for debtors.Len() > 0 {
		d, c := &(*debtors)[0], &(*creditors)[0]
		m := min(d.Net, c.Net)
		out = append(out, Transfer{d.Participant, c.Participant, tongma.Money{Minor: m, Currency: d.Currency}})
		for _, s := range []*side{debtors, creditors} {
			if (*s)[0].Net -= m; (*s)[0].Net == 0 {
				heap.Pop(s)
			} else {
				heap.Fix(s, 0)
			}
		}
	}
	return out
}

func sortedCurrencies[V any](m map[tongma.Currency]V) []tongma.Currency {
	out := make([]tongma.Currency, 0, len(m))
	for c := range m {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b tongma.Currency) int { return cmp.Compare(a.Code(), b.Code()) })
	return out
}

// pair is two participants, the lower name first, and a currency.
type pair struct {
	currency  tongma.Currency
	low, high tongma.ParticipantID
}

// pairNets returns what the lower name of each pair owes the higher, less what it
// is owed, and the gross of each currency.
func pairNets(matrix []clearing.Obligation) (map[pair]int64, map[tongma.Currency]int64, error) {
	nets, gross := map[pair]int64{}, map[tongma.Currency]int64{}
	for i, o := range matrix {
		at := "/matrix/" + strconv.Itoa(i)
		switch {
		case !o.Currency.Valid():
			return nil, nil, &tongma.Error{Op: "optimise", Reason: tongma.CurrencyUnknown, Field: at}
		case o.Debtor == "" || o.Creditor == "":
			return nil, nil, invalid(at, "names no participant")
		case o.Debtor == o.Creditor:
			return nil, nil, invalid(at, "pays itself")
		case o.Gross < 0:
			return nil, nil, invalid(at, "is below zero")
		case o.Gross > math.MaxInt64-gross[o.Currency]:
			return nil, nil, &tongma.Error{Op: "optimise", Reason: tongma.PositionOverflow, Field: at}
		}
		gross[o.Currency] += o.Gross
		if o.Debtor < o.Creditor {
			nets[pair{o.Currency, o.Debtor, o.Creditor}] += o.Gross
		} else {
			nets[pair{o.Currency, o.Creditor, o.Debtor}] -= o.Gross
		}
	}
	return nets, gross, nil
}

// BilateralNet returns what each pair of participants pays in one direction, if
// each pair settles by itself: by currency, then by names. Pairs that owe each
// other the same pay nothing and are left out.
func BilateralNet(matrix []clearing.Obligation) ([]Transfer, error) {
	nets, _, err := pairNets(matrix)
	if err != nil {
		return nil, err
	}
	var out []Transfer
	for k, net := range nets {
		switch {
		case net > 0:
			out = append(out, Transfer{k.low, k.high, tongma.Money{Minor: net, Currency: k.currency}})
		case net < 0:
			out = append(out, Transfer{k.high, k.low, tongma.Money{Minor: -net, Currency: k.currency}})
		}
	}
	slices.SortFunc(out, func(a, b Transfer) int {
		return cmp.Or(cmp.Compare(a.Amount.Currency.Code(), b.Amount.Currency.Code()), cmp.Compare(a.Debtor, b.Debtor), cmp.Compare(a.Creditor, b.Creditor))
	})
	return out, nil
}

// Compression says how much money netting saves in one currency.
type Compression struct {
	Currency     tongma.Currency
	Gross        int64 // all obligations
	Bilateral    int64 // what moves if each pair settles by itself
	Multilateral int64 // what moves if each settles one figure with the agent
	Pairs        int   // transfers of the bilateral net
	Figures      int   // instructions to the agent: figures that are not zero
}

// MillionthsSaved returns 1 - Σ|net| / Σ gross of the multilateral net in parts
// per million, rounded down. Σ goes over participants: each obligation is in the
// gross of its debtor and in that of its creditor, as each net is, so a single
// obligation saves nothing and a closed circle saves all. No obligations save
// nothing.
func (c Compression) MillionthsSaved() int { return millionths(c.Gross, c.Multilateral) }

// MillionthsSavedBilaterally returns the same of the bilateral net.
func (c Compression) MillionthsSavedBilaterally() int { return millionths(c.Gross, c.Bilateral) }

func millionths(gross, moves int64) int {
	if gross <= 0 || moves < 0 || moves > gross {
		return 0
	}
	high, low := bits.Mul64(uint64(gross-moves), 1_000_000)
	saved, _ := bits.Div64(high, low, uint64(gross))
	return int(saved)
}

// Measure computes the compression of each currency of a matrix, by currency. It
// refuses what is no obligation, and sums that overflow.
func Measure(matrix []clearing.Obligation) ([]Compression, error) {
	pairs, gross, err := pairNets(matrix)
	if err != nil {
		return nil, err
	}
	rows := map[tongma.Currency]*Compression{}
	for c, g := range gross {
		rows[c] = &Compression{Currency: c, Gross: g}
	}
	for k, net := range pairs {
		if net != 0 {
			rows[k.currency].Pairs++
			rows[k.currency].Bilateral += max(net, -net)
		}
	}
	nets, _ := clearing.Net(matrix)
	for _, n := range nets {
		if n.Net != 0 {
			rows[n.Currency].Figures++
			rows[n.Currency].Multilateral += max(n.Net, 0)
		}
	}
	out := make([]Compression, 0, len(rows))
	for _, c := range sortedCurrencies(rows) {
		out = append(out, *rows[c])
	}
	return out, nil
}
