package switching

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Metrics are the engine's figures for Prometheus. Labels are bounded: schemes,
// participants, operations, outcomes and reasons, never a payment. A nil *Metrics counts
// nothing.
type Metrics struct {
	answers  *prometheus.CounterVec
	duration [tongma.OpResolve + 1]prometheus.Observer
	outcome  [tongma.OpResolve + 1][3]prometheus.Counter
	legs     *prometheus.CounterVec
	legTime  *prometheus.HistogramVec
	entries  [256]prometheus.Counter
	batches  prometheus.Counter
	perBatch prometheus.Observer
	reasons  *prometheus.CounterVec
	limits   *prometheus.CounterVec
	reg      prometheus.Registerer
}

// NewMetrics makes the figures and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	buckets := prometheus.ExponentialBuckets(0.00025, 2, 18) // 0.25 ms to 33 s
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_requests_total", Help: "Requests answered, by operation and outcome."}, []string{"operation", "outcome"}),
		legs:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_legs_total", Help: "Questions put to schemes, by what came of them."}, []string{"scheme", "operation", "event"}),
		legTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tongma_leg_duration_seconds", Help: "How long a scheme took to answer.", Buckets: buckets}, []string{"scheme", "operation"}),
		batches: prometheus.NewCounter(prometheus.CounterOpts{Name: "tongma_journal_batches_total", Help: "Batches made durable."}),
		limits:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_limit_crossings_total", Help: "Holds that brought a participant to 50, 75 or 90 % of its limit."}, []string{"participant", "currency", "percent"}),
		reg:     reg,
		reasons: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_reasons_total", Help: "Requests that did not simply succeed, by reason."}, []string{"reason"}),
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tongma_request_duration_seconds", Help: "How long an asker waited.", Buckets: buckets}, []string{"operation"})
	entries := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tongma_journal_entries_total", Help: "Entries made durable, by kind."}, []string{"kind"})
	perBatch := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tongma_journal_batch_entries", Help: "Entries in a batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)})
	m.perBatch = perBatch
	for op := tongma.OpPay; op <= tongma.OpResolve; op++ {
		m.duration[op] = durations.WithLabelValues(op.String())
		for o := tongma.Unknown; o <= tongma.Declined; o++ {
			m.outcome[op][o] = m.answers.WithLabelValues(op.String(), o.String())
		}
	}
	for k := range m.entries {
		if name := clearing.Kind(k).String(); name != "unknown" {
			m.entries[k] = entries.WithLabelValues(name)
		}
	}
	reg.MustRegister(m.answers, m.legs, m.legTime, m.batches, m.reasons, m.limits, durations, entries, perBatch)
	return m
}

func (m *Metrics) answered(op tongma.Operation, a *tongma.Answer, err error, took time.Duration) {
	if m == nil || int(op) >= len(m.duration) || m.duration[op] == nil {
		return
	}
	m.duration[op].Observe(took.Seconds())
	reason := a.Reason
	if err != nil {
		reason = tongma.ReasonOf(err)
		m.outcome[op][tongma.Unknown].Inc()
	} else {
		m.outcome[op][a.Outcome%3].Inc()
	}
	if reason != tongma.NoReason {
		m.reasons.WithLabelValues(reason.String()).Inc()
	}
}

// watch shows a figure that is read when somebody asks for it. That of an engine
// that was here before goes.
func (m *Metrics) watch(name, help string, read func() float64) {
	if m == nil {
		return
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	var there prometheus.AlreadyRegisteredError
	if errors.As(m.reg.Register(gauge), &there) {
		m.reg.Unregister(there.ExistingCollector)
		m.reg.MustRegister(gauge)
	}
}

func (m *Metrics) crossed(w *Warning) {
	if m == nil {
		return
	}
	m.limits.WithLabelValues(string(w.Participant), w.Currency.Code(), strconv.Itoa(int(w.Percent))).Inc()
}

func (m *Metrics) leg(s tongma.SchemeID, op tongma.Operation, event Event, took time.Duration) {
	if m == nil {
		return
	}
	m.legs.WithLabelValues(string(s), op.String(), event.String()).Inc()
	m.legTime.WithLabelValues(string(s), op.String()).Observe(took.Seconds())
}

func (m *Metrics) committed(entries []clearing.Entry) {
	if m == nil {
		return
	}
	m.batches.Inc()
	m.perBatch.Observe(float64(len(entries)))
	for i := range entries {
		if c := m.entries[entries[i].Kind]; c != nil {
			c.Inc()
		}
	}
}
