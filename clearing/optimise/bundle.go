package optimise

import (
	"math"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
)

// Flow is one movement of a bundle.
type Flow struct {
	Debtor   tongma.ParticipantID
	Creditor tongma.ParticipantID
	Minor    int64 // more than zero
}

// Bundle is what settles together or not at all: a payment with its fees.
type Bundle struct {
	Payer    tongma.ParticipantID // in whose order it stands; none: it cannot be left out
	Flows    []Flow
	Priority Priority
}

// Bundles is a Queue whose items move more than one amount each. The order of Items
// is the order in which they came.
type Bundles struct {
	Currency tongma.Currency
	Balances []Balance
	Items    []Bundle
}

// Recasting is which bundles stay.
type Recasting struct {
	Settled  []int     // ascending
	Left     []int     // ascending: they wait for the next window
	Balances []Balance // afterwards, of all who are named, by participant
	Short    []Balance // who is below zero even so, since nothing that it pays can be left out; by how much
	Value    int64     // minor units of all flows that stay
	Gross    int64     // and of all
}

// recast is Bundles with participants as numbers.
type recast struct {
	q       *Bundles
	names   []tongma.ParticipantID // sorted
	balance []int64
	in      []bool
	moves   [][]move  // by item: what it does to each participant, netted
	own     [][]int32 // by participant: its items in the order in which they may settle
	pays    [][]int32 // by participant: others' items in which it pays more than it gets
}

type move struct {
	who   int32
	minor int64
}

// LeaveOut is BechSoramaki for bundles: it starts from all of them, and while
// somebody would end below zero it leaves out that payer's last one. Whoever is
// short by the fees of others' bundles alone has the last of these left out. With
// one flow a bundle it gives what BechSoramaki gives. It costs O(items), for each is
// left out once at most.
func LeaveOut(q Bundles) (Recasting, error) {
	r, err := q.read()
	if err != nil {
		return Recasting{}, err
	}
	for i := range r.moves {
		r.apply(i, 1)
	}
	stuck := make([]bool, len(r.names))
	for again := true; again; {
		again = false
		for who := range r.names {
			for r.balance[who] < 0 && !stuck[who] {
				i, ok := r.last(who)
				if !ok {
					stuck[who] = true
					break
				}
				r.in[i], again = false, true
				r.apply(int(i), -1)
			}
		}
	}
	return r.result(), nil
}

// last returns the last item that who can have left out.
func (r *recast) last(who int) (int32, bool) {
	for _, list := range []*[]int32{&r.own[who], &r.pays[who]} {
		for len(*list) > 0 {
			i := (*list)[len(*list)-1]
			*list = (*list)[:len(*list)-1]
			if r.in[i] {
				return i, true
			}
		}
	}
	return 0, false
}

func (r *recast) apply(i int, sign int64) {
	for _, m := range r.moves[i] {
		r.balance[m.who] += sign * m.minor
	}
}

// read checks bundles and numbers who is named in them, by name.
func (q *Bundles) read() (*recast, error) {
	if len(q.Items) > math.MaxInt32/8 || len(q.Balances) > math.MaxInt32/8 {
		return nil, &tongma.Error{Op: "optimise", Reason: tongma.MessageTooLong, Field: "/items"}
	}
	if !q.Currency.Valid() {
		return nil, &tongma.Error{Op: "optimise", Reason: tongma.CurrencyUnknown, Field: "/currency"}
	}
	r := &recast{q: q, in: make([]bool, len(q.Items)), moves: make([][]move, len(q.Items))}
	if err := r.name(); err != nil {
		return nil, err
	}
	for i := range q.Items {
		r.in[i] = true
		r.net(i)
	}
	r.queue()
	return r, nil
}

// name collects the names and the balances, and checks that no sum can overflow.
func (r *recast) name() error {
	known, all := map[tongma.ParticipantID]int64{}, int64(0)
	add := func(minor int64, at string) error {
		if minor > math.MaxInt64-all {
			return &tongma.Error{Op: "optimise", Reason: tongma.PositionOverflow, Field: at}
		}
		all += minor
		return nil
	}
	for i, b := range r.q.Balances {
		at := "/balances/" + strconv.Itoa(i)
		if _, twice := known[b.Participant]; twice || b.Participant == "" || b.Minor < 0 {
			return invalid(at, "names nobody, is the second of one participant, or is below zero")
		}
		if err := add(b.Minor, at); err != nil {
			return err
		}
		known[b.Participant] = b.Minor
	}
	for i := range r.q.Items {
		at := "/items/" + strconv.Itoa(i)
		if r.q.Items[i].Priority >= priorities {
			return invalid(at, "has no such priority")
		}
		for _, f := range r.q.Items[i].Flows {
			if f.Debtor == "" || f.Creditor == "" || f.Minor <= 0 {
				return invalid(at, "names no participant, or no amount")
			}
			if err := add(f.Minor, at); err != nil {
				return err
			}
			known[f.Debtor] += 0
			known[f.Creditor] += 0
		}
		if p := r.q.Items[i].Payer; p != "" {
			known[p] += 0
		}
	}
	r.names = sortedNames(known)
	for _, n := range r.names {
		r.balance = append(r.balance, known[n])
	}
	return nil
}

func sortedNames(m map[tongma.ParticipantID]int64) []tongma.ParticipantID {
	out := make([]tongma.ParticipantID, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func (r *recast) number(n tongma.ParticipantID) int32 {
	i, _ := slices.BinarySearch(r.names, n)
	return int32(i)
}

// net sums up what an item does to each participant.
func (r *recast) net(i int) {
	add := func(n tongma.ParticipantID, minor int64) {
		who := r.number(n)
		for j := range r.moves[i] {
			if r.moves[i][j].who == who {
				r.moves[i][j].minor += minor
				return
			}
		}
		r.moves[i] = append(r.moves[i], move{who, minor})
	}
	for _, f := range r.q.Items[i].Flows {
		add(f.Debtor, -f.Minor)
		add(f.Creditor, f.Minor)
	}
}

// queue puts each participant's items in order.
func (r *recast) queue() {
	r.own, r.pays = make([][]int32, len(r.names)), make([][]int32, len(r.names))
	for i := range r.q.Items {
		payer := r.q.Items[i].Payer
		if payer == "" {
			continue
		}
		at := r.number(payer)
		r.own[at] = append(r.own[at], int32(i))
		for _, m := range r.moves[i] {
			if m.who != at && m.minor < 0 {
				r.pays[m.who] = append(r.pays[m.who], int32(i))
			}
		}
	}
	for _, lists := range [][][]int32{r.own, r.pays} {
		for _, l := range lists {
			slices.SortStableFunc(l, func(x, y int32) int { return int(r.q.Items[y].Priority) - int(r.q.Items[x].Priority) })
		}
	}
}

func (r *recast) result() Recasting {
	var out Recasting
	for i, in := range r.in {
		sum := int64(0)
		for _, f := range r.q.Items[i].Flows {
			sum += f.Minor
		}
		out.Gross += sum
		if in {
			out.Settled = append(out.Settled, i)
			out.Value += sum
		} else {
			out.Left = append(out.Left, i)
		}
	}
	for i, n := range r.names {
		out.Balances = append(out.Balances, Balance{n, r.balance[i]})
		if r.balance[i] < 0 {
			out.Short = append(out.Short, Balance{n, -r.balance[i]})
		}
	}
	return out
}
