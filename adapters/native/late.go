package native

import (
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// maxLate is how many unanswered questions are remembered for their late
// answers; the oldest is forgotten first.
const maxLate = 4096

// lateAnswers remembers the questions whose asker has gone, so that an answer
// that comes after all is checked like any other and told.
type lateAnswers struct {
	tell func(tongma.Operation, tongma.Answer) // nil: nothing is remembered

	mu    sync.Mutex // guards what follows; tell is called without it
	asked map[string]lateQuestion
	order []string // tokens in the order they were remembered, as a ring
	next  int
}

// lateQuestion is what checking an answer needs. The code is not kept.
type lateQuestion struct {
	op                tongma.Operation
	payment, original tongma.PaymentID
	amount            tongma.Money
}

func (l *lateAnswers) expect(token string, op tongma.Operation, r *tongma.Request) {
	if l.tell == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil {
		l.asked = make(map[string]lateQuestion)
	}
	if len(l.order) < maxLate {
		l.order = append(l.order, token)
	} else {
		delete(l.asked, l.order[l.next])
		l.order[l.next] = token
		l.next = (l.next + 1) % maxLate
	}
	l.asked[token] = lateQuestion{op, r.Payment, r.Original, r.Amount}
}

// arrived tells the answer of a question that was remembered. A second answer,
// or one to a question that was answered in time, is dropped.
func (l *lateAnswers) arrived(scheme tongma.SchemeID, token string, m *nats.Msg) {
	l.mu.Lock()
	q, ok := l.asked[token]
	delete(l.asked, token)
	l.mu.Unlock()
	if !ok {
		return
	}
	r := tongma.Request{Payment: q.payment, Original: q.original, Amount: q.amount}
	if a, err := readAnswer(q.op, scheme, &r, m); err == nil {
		l.tell(q.op, a)
	}
}
