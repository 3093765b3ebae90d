package sim

import (
	"container/heap"
	"context"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/tongma/tongma/schemes"
)

// Bounds of a history: who passes them hangs.
const (
	maxSteps  = 100_000
	quietWait = 4 * time.Hour // for everything to end once the faults are healed
)

// Violation is a rule that did not hold.
type Violation struct {
	Seed uint64
	Rule string // short and stable: counters and mutations name it
	What string
	At   time.Duration // virtual, since the beginning
	Step int
}

// Error returns all of it in one line.
func (v *Violation) Error() string {
	return fmt.Sprintf("seed %d: %s: %s (step %d, %v)", v.Seed, v.Rule, v.What, v.Step, v.At)
}

// Result is what one history came to.
type Result struct {
	Seed     uint64
	Trace    uint64 // digest of every event with its virtual time
	Journal  uint64 // digest of the journal's bytes
	Virtual  time.Duration
	Steps    int
	Entries  int
	Detected bool // damage was put into the journal, and found
	Ends     [endCount]int
	Faults   [faultCount]int
	Features [featureCount]int
	Broken   *Violation // nil if every rule held
}

// history is one run of the world.
type history struct {
	seed  uint64
	plan  plan
	start time.Time
	wg    sync.WaitGroup // every goroutine of the world
	kick  chan struct{}  // the queue has a new first event

	// mu guards all that follows, and all parts of the world. It is never held
	// across a wait. Events run under it, one at a time, on the goroutine of run.
	mu       sync.Mutex
	rand     *rand.Rand // drawn from by events only
	queue    events
	pushed   uint64
	steps    int
	healed   bool
	over     bool
	broken   *Violation
	faults   [faultCount]int
	features [featureCount]int
	log      io.Writer // the trace in words; nil if nobody reads it
	sum      hash.Hash64
	line     []byte

	market     market   // the first version
	markets    []market // markets[i] is version i+1
	shelf      shelf
	dealerLink *link
	quotes     map[string][]string // rates that the dealer has given, by its names for them
	quoted     int
	asks       uint64
	handModel  string        // that people settle, if any
	night      time.Duration // that the clocks of all switches are ahead of the world's
	registry   *schemes.Registry
	codes      map[shopCode]string // of merchants
	disk       *disk
	oracle     *oracle
	shops      []*shop
	wallets    []*wallet
	agent      *agent
	operator   *operator
	plants     []*plant // every start of the switch
	tills      []*till
	ids        uint64
	writers    uint64
	calls      uint64
	peeks      uint64
	questions  map[question]uint64
}

// event is something that is due at a virtual time.
type event struct {
	at    time.Duration
	order uint64
	do    func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || (q[i].at == q[j].at && q[i].order < q[j].order)
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

// Run plays the history of a seed and returns what came of it. It must be called
// inside a bubble of testing/synctest: outside of one it would take hours. log gets
// the trace in words, unless it is nil.
func Run(seed uint64, log io.Writer) Result {
	h := &history{seed: seed, start: time.Now(), kick: make(chan struct{}, 1), log: log, sum: fnv.New64a(), questions: map[question]uint64{}, quotes: map[string][]string{}}
	h.rand = h.stream('h')
	h.plan = draw(h.stream('p'))
	h.market = drawMarket(h.stream('m'))
	h.build()
	h.run()
	lasted := h.now() // how long a dead switch takes to go is no part of the history
	h.windUp()
	return h.result(lasted)
}

// stream returns random numbers that depend on the seed and on what they are for.
func (h *history) stream(about ...uint64) *rand.Rand {
	x := mix(h.seed + 0x9e3779b97f4a7c15)
	for _, a := range about {
		x = mix(x ^ mix(a+0x9e3779b97f4a7c15))
	}
	return rand.New(rand.NewPCG(x, mix(x+1)))
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

func chance(r *rand.Rand, p float64) bool { return p > 0 && r.Float64() < p }

func (h *history) now() time.Duration { return time.Since(h.start) }

// grain is the unit from whose next beginning delays count. Goroutines of the switch
// that are woken together come here in any order, some nanoseconds apart: which of
// them was first must not show.
const grain = time.Millisecond

// after makes do an event. The caller holds mu, and gives a delay that was drawn
// to the nanosecond.
func (h *history) after(d time.Duration, do func()) {
	if h.over {
		return
	}
	h.pushed++
	e := event{h.now().Truncate(grain) + grain + d, h.pushed, do}
	heap.Push(&h.queue, e)
	if h.queue[0].order == e.order {
		select {
		case h.kick <- struct{}{}:
		default:
		}
	}
}

// soon makes do an event at once: how a goroutine of the switch changes the world.
// about names the goroutine's reason, and orders those that come together.
func (h *history) soon(do func(), about ...uint64) {
	r := h.stream(about...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after(between(r, 0, grain), do)
}

// run carries out event by event until the history is over.
func (h *history) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := time.Duration(-1)
	for {
		h.mu.Lock()
		if h.over || h.broken != nil || len(h.queue) == 0 {
			h.mu.Unlock()
			return
		}
		wait := max(h.queue[0].at, last+1) - h.now()
		if wait <= 0 {
			e := heap.Pop(&h.queue).(event)
			last = h.now()
			h.step(e)
			h.mu.Unlock()
			continue
		}
		h.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-h.kick:
		}
	}
}

// step carries out one event. If the plan says so the switch crashes behind it, as
// an event of its own: what this one has started goes as far as it can before.
func (h *history) step(e event) {
	h.steps++
	e.do()
	if h.steps > maxSteps {
		h.fail("liveness", "no end after %d steps", h.steps)
	}
	for _, p := range h.plants {
		if p.dead || h.healed {
			continue
		}
		if p.fuse--; p.fuse == 0 {
			h.after(between(h.rand, 0, grain), func() { h.crash(p) })
		}
	}
}

// fail notes that a rule did not hold; the first time ends the history.
func (h *history) fail(rule, format string, args ...any) {
	if h.broken == nil {
		h.broken = &Violation{Seed: h.seed, Rule: rule, What: fmt.Sprintf(format, args...), At: h.now(), Step: h.steps}
		h.tell("VIOLATION %s: %s", rule, h.broken.What)
	}
}

// tell adds a line to the trace. Only events call it.
func (h *history) tell(format string, args ...any) {
	h.line = fmt.Appendf(h.line[:0], "%16d  ", int64(h.now()))
	h.line = append(fmt.Appendf(h.line, format, args...), '\n')
	_, _ = h.sum.Write(h.line)
	if h.log != nil {
		_, _ = h.log.Write(h.line)
	}
}

// count notes that a fault happened. It is not for the trace: goroutines of the
// switch call it too.
func (h *history) count(f Fault) { h.faults[f]++ }

// rate is a probability of the plan until the faults are healed, and zero then.
func (h *history) rate(p float64) float64 {
	if h.healed {
		return 0
	}
	return p
}

// windUp ends everything that still runs, and waits for it.
func (h *history) windUp() {
	h.mu.Lock()
	h.over, h.queue = true, nil
	for _, p := range h.plants {
		h.kill(p)
	}
	h.mu.Unlock()
	h.wg.Wait()
	if h.shelf.dir != "" {
		_ = os.RemoveAll(h.shelf.dir)
	}
}

func (h *history) result(lasted time.Duration) Result {
	r := Result{Seed: h.seed, Trace: h.sum.Sum64(), Virtual: lasted, Steps: h.steps, Entries: len(h.oracle.entries), Detected: h.disk.damaged,
		Ends: h.oracle.ends(), Faults: h.faults, Features: h.features, Broken: h.broken}
	sum := fnv.New64a()
	for _, m := range h.disk.messages {
		_, _ = sum.Write(m)
	}
	r.Journal = sum.Sum64()
	return r
}

// background starts a goroutine of the world.
func (h *history) background(f func()) { h.wg.Go(f) }

// short is a context for one act of the operator.
func short(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
