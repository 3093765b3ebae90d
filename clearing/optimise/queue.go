package optimise

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Priority orders a payer's own items. It never lets one participant's items
// pass another's.
type Priority uint8

const (
	Normal Priority = iota
	High
	Urgent
	priorities
)

// String returns "normal", "high" or "urgent".
func (p Priority) String() string { return [...]string{"normal", "high", "urgent", "unknown"}[p&3] }

// Item is one payment, or one obligation, that waits for settlement.
type Item struct {
	Debtor   tongma.ParticipantID // pays
	Creditor tongma.ParticipantID
	Minor    int64 // more than zero
	Priority Priority
}

// Balance is what one participant can pay with: prefunding, or what is left of
// its cap, in minor units.
type Balance struct {
	Participant tongma.ParticipantID
	Minor       int64 // zero or more
}

// Queue is what waits in one currency. The order of Items is the order in which
// they came. A participant without a balance has none to pay with, but what it
// receives.
type Queue struct {
	Currency tongma.Currency
	Balances []Balance
	Items    []Item
}

// Result is which items of a queue settle, all at once. Items are named by their
// place in Queue.Items.
type Result struct {
	Currency tongma.Currency
	Settled  []int     // ascending
	Left     []int     // ascending: they wait on, with their priority
	Balances []Balance // afterwards, of all who are named in the queue, by participant; none below zero
	Count    int       // items settled
	Value    int64     // minor units settled
	Gross    int64     // minor units of the whole queue
}

// problem is a queue with participants as numbers and each payer's items in the
// order in which they may settle.
type problem struct {
	queue   *Queue
	names   []tongma.ParticipantID // sorted
	balance []int64
	debtor  []int32 // by item
	credit  []int32
	order   []int32 // items by debtor, urgent first, then as they came
	first   []int32 // where a debtor's part of order starts; one more at the end
	gross   int64
}

func invalid(field, detail string) error {
	return &tongma.Error{Op: "optimise", Reason: tongma.FieldInvalid, Field: field, Detail: detail}
}

// read checks a queue and numbers its participants. It costs O(items +
// participants · log participants).
func read(q *Queue) (*problem, error) {
	p := &problem{queue: q, debtor: make([]int32, len(q.Items)), credit: make([]int32, len(q.Items))}
	if len(q.Items) > math.MaxInt32/8 || len(q.Balances) > math.MaxInt32/8 {
		return nil, &tongma.Error{Op: "optimise", Reason: tongma.MessageTooLong, Field: "/items"}
	}
	if !q.Currency.Valid() {
		return nil, &tongma.Error{Op: "optimise", Reason: tongma.CurrencyUnknown, Field: "/currency"}
	}
	if err := p.number(); err != nil {
		return nil, err
	}
	p.sort()
	return p, nil
}

// number gives participants numbers in the order of their names, and checks that
// no sum can overflow: no balance is ever more than all money there is.
func (p *problem) number() error {
	q, numbers := p.queue, map[tongma.ParticipantID]int32{}
	of := func(name tongma.ParticipantID) int32 {
		n, ok := numbers[name]
		if !ok {
			n = int32(len(p.names))
			numbers[name] = n
			p.names, p.balance = append(p.names, name), append(p.balance, 0)
		}
		return n
	}
	all := int64(0)
	for i, b := range q.Balances {
		at := "/balances/" + strconv.Itoa(i)
		switch _, twice := numbers[b.Participant]; {
		case b.Participant == "":
			return invalid(at, "names no participant")
		case twice:
			return invalid(at, "a participant has two balances")
		case b.Minor < 0:
			return invalid(at, "is below zero")
		case b.Minor > math.MaxInt64-all:
			return &tongma.Error{Op: "optimise", Reason: tongma.PositionOverflow, Field: at}
		}
		all += b.Minor
		p.balance[of(b.Participant)] = b.Minor
	}
	for i := range q.Items {
		it, at := &q.Items[i], "/items/"
		if wrong := it.wrong(); wrong != "" {
			return invalid(at+strconv.Itoa(i), wrong)
		}
		if it.Minor > math.MaxInt64-all {
			return &tongma.Error{Op: "optimise", Reason: tongma.PositionOverflow, Field: at + strconv.Itoa(i)}
		}
		all += it.Minor
		p.gross += it.Minor
		p.debtor[i], p.credit[i] = of(it.Debtor), of(it.Creditor)
	}
	p.rename()
	return nil
}

// wrong says what makes no sense about an item, or "".
func (it *Item) wrong() string {
	switch {
	case it.Debtor == "" || it.Creditor == "":
		return "names no participant"
	case it.Debtor == it.Creditor:
		return "pays itself"
	case it.Minor <= 0:
		return "must be more than zero"
	case it.Priority >= priorities:
		return "has no such priority"
	}
	return ""
}

// rename makes the numbers follow the names, so that no result depends on who
// was named first.
func (p *problem) rename() {
	byName := make([]int32, len(p.names))
	for i := range byName {
		byName[i] = int32(i)
	}
	slices.SortFunc(byName, func(a, b int32) int { return cmp.Compare(p.names[a], p.names[b]) })
	to := make([]int32, len(p.names))
	names, balance := make([]tongma.ParticipantID, len(p.names)), make([]int64, len(p.names))
	for i, old := range byName {
		to[old], names[i], balance[i] = int32(i), p.names[old], p.balance[old]
	}
	p.names, p.balance = names, balance
	for i := range p.debtor {
		p.debtor[i], p.credit[i] = to[p.debtor[i]], to[p.credit[i]]
	}
}

// sort puts each payer's items in order, by counting.
func (p *problem) sort() {
	const n = int(priorities)
	start := make([]int32, len(p.names)*n+1)
	bucket := func(i int) int { return int(p.debtor[i])*n + n - 1 - int(p.queue.Items[i].Priority) }
	for i := range p.debtor {
		start[bucket(i)+1]++
	}
	for i := 1; i < len(start); i++ {
		start[i] += start[i-1]
	}
	p.first = make([]int32, len(p.names)+1)
	for who := range p.first {
		p.first[who] = start[who*n]
	}
	p.order = make([]int32, len(p.debtor))
	for i := range p.debtor {
		p.order[start[bucket(i)]] = int32(i)
		start[bucket(i)]++
	}
}

// result reports which items settle. balance is what is left afterwards.
func (p *problem) result(settled []bool, balance []int64) Result {
	r := Result{Currency: p.queue.Currency, Gross: p.gross, Balances: make([]Balance, len(p.names))}
	for i, yes := range settled {
		if yes {
			r.Settled = append(r.Settled, i)
			r.Value += p.queue.Items[i].Minor
		} else {
			r.Left = append(r.Left, i)
		}
	}
	r.Count = len(r.Settled)
	for i, name := range p.names {
		r.Balances[i] = Balance{name, balance[i]}
	}
	return r
}

// Matrix returns the items of a queue with the given places as obligations, one
// for each debtor and creditor, in order: what clearing.Net makes a sheet of.
func Matrix(q Queue, places []int) ([]clearing.Obligation, error) {
	type direction struct{ debtor, creditor tongma.ParticipantID }
	sums := map[direction]*clearing.Obligation{}
	for _, i := range places {
		if i < 0 || i >= len(q.Items) {
			return nil, invalid("/items/"+strconv.Itoa(i), "there is no such item")
		}
		it := &q.Items[i]
		k := direction{it.Debtor, it.Creditor}
		if sums[k] == nil {
			sums[k] = &clearing.Obligation{Debtor: it.Debtor, Creditor: it.Creditor, Currency: q.Currency}
		}
		if it.Minor <= 0 || it.Minor > math.MaxInt64-sums[k].Gross {
			return nil, &tongma.Error{Op: "optimise", Reason: tongma.PositionOverflow, Field: "/items/" + strconv.Itoa(i)}
		}
		sums[k].Gross += it.Minor
		sums[k].Count++
	}
	out := make([]clearing.Obligation, 0, len(sums))
	for _, o := range sums {
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b clearing.Obligation) int {
		return cmp.Or(cmp.Compare(a.Debtor, b.Debtor), cmp.Compare(a.Creditor, b.Creditor))
	})
	return out, nil
}
