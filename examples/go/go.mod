module kv

go 1.24

require quorate v0.0.0

require github.com/mattn/go-sqlite3 v1.14.53

replace quorate => ../../bindings/go
