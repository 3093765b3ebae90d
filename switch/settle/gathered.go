package settle

// staysGathered says what is left to people where what other shards handed over is more
// than somebody can pay: it does not roll over.
const staysGathered = "nothing more can roll over: what other shards handed over does not; settle again when it has paid, or have two people say how it was paid, with tongma window confirm"
