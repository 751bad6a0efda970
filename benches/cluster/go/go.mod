module node

go 1.24

require (
	load v0.0.0
	quorate v0.0.0
)

replace (
	load => ../load
	quorate => ../../../bindings/go
)
