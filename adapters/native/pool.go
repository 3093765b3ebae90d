package native

import "sync"

// pool runs jobs on at most a given number of goroutines. A goroutine that has
// finished waits for the next job, so that its grown stack is used again; those
// beyond maxIdle end. Jobs that find all goroutines at work wait in a queue of
// bounded length; what does not fit there is refused.
type pool[J any] struct {
	run     func(*scratch, J)
	workers int
	handoff chan J // to a goroutine that waits; never holds anything
	queue   chan J
	done    sync.WaitGroup

	mu      sync.Mutex // guards what follows; nothing is taken while it is held
	running int
	idle    int
	stopped bool
}

// scratch is what one worker keeps between jobs.
type scratch struct{ body []byte }

const maxIdle = 64

func newPool[J any](workers, queue int, run func(*scratch, J)) *pool[J] {
	return &pool[J]{run: run, workers: workers, handoff: make(chan J), queue: make(chan J, queue)}
}

// submit takes a job, or returns false at once: too much work, or stopped.
func (p *pool[J]) submit(j J) bool {
	select {
	case p.handoff <- j:
		return true
	default:
	}
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return false
	}
	if p.running < p.workers {
		p.running++
		p.done.Add(1)
		p.mu.Unlock()
		go p.work(j)
		return true
	}
	defer p.mu.Unlock()
	select {
	case p.queue <- j: // under the lock, so that no worker leaves between seeing the queue empty and this
		return true
	default:
		return false
	}
}

func (p *pool[J]) work(j J) {
	defer p.done.Done()
	s := &scratch{body: make([]byte, 0, 1024)}
	for ok := true; ok; j, ok = p.next() {
		p.run(s, j)
	}
}

// next waits for another job. It is false when this goroutine is not needed.
func (p *pool[J]) next() (J, bool) {
	p.mu.Lock()
	select {
	case j, ok := <-p.queue:
		p.mu.Unlock()
		return j, ok
	default:
	}
	if p.stopped || p.idle >= maxIdle {
		p.running--
		p.mu.Unlock()
		var none J
		return none, false
	}
	p.idle++
	p.mu.Unlock()
	var j J
	var ok bool
	select {
	case j, ok = <-p.handoff:
	case j, ok = <-p.queue:
	}
	p.mu.Lock()
	p.idle--
	p.mu.Unlock()
	return j, ok
}

// stop takes no more jobs, lets those taken finish, and waits for that.
func (p *pool[J]) stop() {
	p.mu.Lock()
	again := p.stopped
	p.stopped = true
	p.mu.Unlock()
	if !again {
		close(p.queue)
	}
	p.done.Wait()
}
