package optimise

import (
	"cmp"
	"slices"

	"github.com/tongma/tongma"
)

// move changes balances as if the item settled, or had not if sign is -1.
func (p *problem) move(balance []int64, i int32, sign int64) {
	m := sign * p.queue.Items[i].Minor
	balance[p.debtor[i]] -= m
	balance[p.credit[i]] += m
}

// everything returns the balances if all items settled.
func (p *problem) everything() []int64 {
	balance := slices.Clone(p.balance)
	for i := range p.debtor {
		p.move(balance, int32(i), 1)
	}
	return balance
}

// AllOrNothing settles the whole queue if nobody would end below zero, and
// otherwise nothing. It costs O(items).
func AllOrNothing(q Queue) (Result, error) {
	p, err := read(&q)
	if err != nil {
		return Result{}, err
	}
	balance := p.everything()
	settled := make([]bool, len(q.Items))
	if slices.ContainsFunc(balance, func(b int64) bool { return b < 0 }) {
		return p.result(settled, p.balance), nil
	}
	for i := range settled {
		settled[i] = true
	}
	return p.result(settled, balance), nil
}

// BechSoramaki settles the largest set of items such that nobody ends below zero
// and each payer's items settle in its order: by priority, then as they came.
// It starts from all of them, and while somebody would end below zero takes that
// payer's last item out (Bech and Soramäki, Bank of Finland DP 9/2001).
//
// The set is unique, whichever payer is looked at first, since no item of a set
// that is possible is ever taken out. As long as all of that set is still in, a
// payer who is short pays more than its part of the set: with that part alone it
// pays what it pays in the set and receives no less. So its last item is not in
// the set. What remains in the end is possible, and holds every possible set.
//
// It ends since no balance is below zero at the start, and it costs O(items):
// each is taken out once at most.
func BechSoramaki(q Queue) (Result, error) {
	p, err := read(&q)
	if err != nil {
		return Result{}, err
	}
	balance := p.everything()
	settled := make([]bool, len(q.Items))
	for i := range settled {
		settled[i] = true
	}
	last := slices.Clone(p.first[1:]) // one past the last item that is still in
	var short []int32
	for who := range balance {
		if balance[who] < 0 {
			short = append(short, int32(who))
		}
	}
	for len(short) > 0 {
		who := short[len(short)-1]
		short = short[:len(short)-1]
		for balance[who] < 0 {
			last[who]--
			i := p.order[last[who]]
			settled[i] = false
			to := p.credit[i]
			covered := balance[to] >= 0
			p.move(balance, i, -1)
			if covered && balance[to] < 0 {
				short = append(short, to)
			}
		}
	}
	return p.result(settled, balance), nil
}

// OneByOne settles each item by itself as soon as its payer's balance covers it,
// in the payer's order: what a gross queue does without an optimiser. The result
// does not depend on who goes first. It costs O(items).
func OneByOne(q Queue) (Result, error) {
	p, err := read(&q)
	if err != nil {
		return Result{}, err
	}
	balance, settled := slices.Clone(p.balance), make([]bool, len(q.Items))
	next := slices.Clone(p.first[:len(p.names)])
	work := make([]int32, len(p.names)) // whose first item may be covered now
	for who := range work {
		work[who] = int32(len(p.names) - 1 - who)
	}
	for len(work) > 0 {
		who := work[len(work)-1]
		work = work[:len(work)-1]
		for ; next[who] < p.first[who+1]; next[who]++ {
			i := p.order[next[who]]
			if q.Items[i].Minor > balance[who] {
				break
			}
			settled[i] = true
			p.move(balance, i, 1)
			work = append(work, p.credit[i])
		}
	}
	return p.result(settled, balance), nil
}

// Gridlocked tells whether nothing in the queue can settle by itself, although a
// set of items can settle together.
func Gridlocked(q Queue) (bool, error) {
	single, err := OneByOne(q)
	if err != nil || single.Count > 0 {
		return false, err
	}
	together, err := BechSoramaki(q)
	return together.Count > 0, err
}

// Offset settles what pairs of participants owe each other in both directions,
// pair by pair in the order of their names: for each, the largest set in their
// own order that costs neither more than its balance nor more than limit allows
// between the two. Without a limit, only balances bound it.
//
// An item may pass others of its payer that are for somebody else, and may use
// the balance that they wait for; limit is there to bound that. Pairs of which
// only one owes are left alone. It costs O(items · log items).
func Offset(q Queue, limit func(debtor, creditor tongma.ParticipantID) int64) (Result, error) {
	p, err := read(&q)
	if err != nil {
		return Result{}, err
	}
	balance, settled := slices.Clone(p.balance), make([]bool, len(q.Items))
	pairs := p.pairs()
	for _, both := range pairs {
		if len(both[0]) == 0 || len(both[1]) == 0 {
			continue
		}
		a, b := p.debtor[both[0][0]], p.debtor[both[1][0]]
		most := [2]int64{balance[a], balance[b]}
		if limit != nil {
			most[0] = min(most[0], max(0, limit(p.names[a], p.names[b])))
			most[1] = min(most[1], max(0, limit(p.names[b], p.names[a])))
		}
		for side, n := range p.offset(both, most) {
			for _, i := range both[side][:n] {
				settled[i] = true
				p.move(balance, i, 1)
			}
		}
	}
	return p.result(settled, balance), nil
}

// pairs groups the items by who they are between, lower name first: what it owes,
// and what it is owed, each in the payer's order.
func (p *problem) pairs() [][2][]int32 {
	key := func(i int32) (low, high int32) { return min(p.debtor[i], p.credit[i]), max(p.debtor[i], p.credit[i]) }
	items := slices.Clone(p.order)
	slices.SortStableFunc(items, func(i, j int32) int {
		a, b := key(i)
		c, d := key(j)
		return cmp.Or(cmp.Compare(a, c), cmp.Compare(b, d), cmp.Compare(p.debtor[i], p.debtor[j]))
	})
	var out [][2][]int32
	for start := 0; start < len(items); {
		low, high := key(items[start])
		end, turn := start, start
		for ; end < len(items); end++ {
			if a, b := key(items[end]); a != low || b != high {
				break
			}
			if p.debtor[items[end]] == low {
				turn = end + 1
			}
		}
		out = append(out, [2][]int32{items[start:turn], items[turn:end]})
		start = end
	}
	return out
}

// offset returns how many items of each side settle: the Bech-Soramäki rule for
// two participants.
func (p *problem) offset(both [2][]int32, most [2]int64) (n [2]int) {
	net := int64(0) // what the first pays more than it receives
	for side, sign := range [2]int64{1, -1} {
		n[side] = len(both[side])
		for _, i := range both[side] {
			net += sign * p.queue.Items[i].Minor
		}
	}
	for {
		switch {
		case net > most[0]:
			n[0]--
			net -= p.queue.Items[both[0][n[0]]].Minor
		case -net > most[1]:
			n[1]--
			net += p.queue.Items[both[1][n[1]]].Minor
		default:
			return n
		}
	}
}
