BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE api_keys (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	tail VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	revoked_ms BIGINT, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(tenant_id) REFERENCES tenants (id), 
	UNIQUE (digest)
);
INSERT INTO "api_keys" VALUES(1,'key_1','tenant_a','user','one','abcd','0000000000000000000000000000000000000000000000000000000000000000',1700000000000,NULL);
CREATE TABLE batch_lanes (
	batch_seq BIGINT NOT NULL, 
	lane_id BIGINT NOT NULL, 
	pending BIGINT NOT NULL, 
	done BIGINT NOT NULL, 
	PRIMARY KEY (batch_seq, lane_id)
);
INSERT INTO "batch_lanes" VALUES(1,1,0,2);
INSERT INTO "batch_lanes" VALUES(2,1,3,3);
INSERT INTO "batch_lanes" VALUES(2,2,4,2);
INSERT INTO "batch_lanes" VALUES(3,1,2,1);
CREATE TABLE batches (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	live BOOLEAN NOT NULL, 
	closing VARCHAR, 
	endpoint VARCHAR NOT NULL, 
	completion_window VARCHAR NOT NULL, 
	input_file_id VARCHAR NOT NULL, 
	metadata TEXT, 
	output_expires_after_s BIGINT, 
	model VARCHAR, 
	total BIGINT NOT NULL, 
	done BIGINT NOT NULL, 
	completed BIGINT NOT NULL, 
	failed BIGINT NOT NULL, 
	tokens_input BIGINT NOT NULL, 
	tokens_cached BIGINT NOT NULL, 
	tokens_output BIGINT NOT NULL, 
	tokens_reasoning BIGINT NOT NULL, 
	errors TEXT, 
	output_file_id VARCHAR, 
	error_file_id VARCHAR, 
	created_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	in_progress_ms BIGINT, 
	finalizing_ms BIGINT, 
	completed_ms BIGINT, 
	failed_ms BIGINT, 
	expired_ms BIGINT, 
	cancelling_ms BIGINT, 
	cancelled_ms BIGINT, 
	retry_of VARCHAR, 
	input_blob_key VARCHAR, 
	input_index_key VARCHAR, 
	input_bytes BIGINT NOT NULL, 
	planned BOOLEAN NOT NULL, 
	sealed BOOLEAN NOT NULL, 
	unfolded BIGINT NOT NULL, 
	next_seq BIGINT NOT NULL, 
	next_event BIGINT NOT NULL, 
	duty_owner VARCHAR, 
	duty_epoch BIGINT NOT NULL, 
	purge_ms BIGINT, 
	purged BOOLEAN NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "batches" VALUES(1,'finished','tenant_a','completed',0,'complete','/v1/chat/completions','24h','finished.in',NULL,NULL,NULL,2,2,2,0,20,8,6,2,NULL,'finished.output',NULL,1700000000000,1700086400000,1700000000000,1700000000000,1700000000000,NULL,NULL,NULL,NULL,NULL,'files/finished.in','files/finished.in.index',100,1,1,1,2,5,NULL,5,NULL,0);
INSERT INTO "batches" VALUES(2,'half_way','tenant_a','in_progress',1,NULL,'/v1/chat/completions','24h','half_way.in','{"who":"me"}',NULL,NULL,12,5,4,1,40,16,12,4,NULL,NULL,NULL,1700000000000,1700086400000,1700000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'files/half_way.in','files/half_way.in.index',100,1,0,3,4,3,NULL,2,NULL,0);
INSERT INTO "batches" VALUES(3,'cancelling','tenant_a','cancelling',1,'cancel','/v1/chat/completions','24h','cancelling.in',NULL,NULL,NULL,3,1,1,0,10,4,3,1,NULL,NULL,NULL,1700000000000,1700086400000,1700000000000,NULL,NULL,NULL,NULL,1700000000000,NULL,NULL,'files/cancelling.in','files/cancelling.in.index',100,1,0,1,2,4,NULL,2,NULL,0);
INSERT INTO "batches" VALUES(4,'validating','tenant_a','validating',1,NULL,'/v1/chat/completions','24h','validating.in',NULL,NULL,NULL,0,0,0,0,0,0,0,0,NULL,NULL,NULL,1700000000000,1700086400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'files/validating.in','files/validating.in.index',100,0,0,0,1,2,NULL,0,NULL,0);
CREATE TABLE events (
	batch_seq BIGINT NOT NULL, 
	no BIGINT NOT NULL, 
	type VARCHAR NOT NULL, 
	at_ms BIGINT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (batch_seq, no)
);
INSERT INTO "events" VALUES(1,1,'batch.validating',1700000000000,'{}');
INSERT INTO "events" VALUES(1,2,'batch.in_progress',1700000000000,'{}');
INSERT INTO "events" VALUES(1,3,'batch.finalizing',1700000000000,'{}');
INSERT INTO "events" VALUES(1,4,'batch.completed',1700000000000,'{}');
INSERT INTO "events" VALUES(2,1,'batch.validating',1700000000000,'{}');
INSERT INTO "events" VALUES(2,2,'batch.in_progress',1700000000000,'{}');
INSERT INTO "events" VALUES(3,1,'batch.validating',1700000000000,'{}');
INSERT INTO "events" VALUES(3,2,'batch.in_progress',1700000000000,'{}');
INSERT INTO "events" VALUES(3,3,'batch.cancelling',1700000000000,'{}');
INSERT INTO "events" VALUES(4,1,'batch.validating',1700000000000,'{}');
CREATE TABLE files (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	filename VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	lines BIGINT, 
	created_ms BIGINT NOT NULL, 
	expires_ms BIGINT, 
	blob_key VARCHAR, 
	index_key VARCHAR, 
	batch_id VARCHAR, 
	deleted_ms BIGINT, 
	released BOOLEAN NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "files" VALUES(1,'finished.in','tenant_a','uploaded','batch','in.jsonl',100,4,1700000000000,NULL,'files/finished.in','files/finished.in.index',NULL,NULL,0);
INSERT INTO "files" VALUES(2,'finished.output','tenant_a','output','batch_output','output.jsonl',40,NULL,1700000000000,NULL,NULL,NULL,'finished',NULL,0);
INSERT INTO "files" VALUES(3,'half_way.in','tenant_a','uploaded','batch','in.jsonl',100,4,1700000000000,NULL,'files/half_way.in','files/half_way.in.index',NULL,NULL,0);
INSERT INTO "files" VALUES(4,'cancelling.in','tenant_a','uploaded','batch','in.jsonl',100,4,1700000000000,NULL,'files/cancelling.in','files/cancelling.in.index',NULL,NULL,0);
INSERT INTO "files" VALUES(5,'validating.in','tenant_a','uploaded','batch','in.jsonl',100,4,1700000000000,NULL,'files/validating.in','files/validating.in.index',NULL,NULL,0);
CREATE TABLE garbage (
	"key" VARCHAR NOT NULL, 
	since_ms BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE idempotency (
	batch_seq BIGINT NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	route VARCHAR NOT NULL, 
	"key" VARCHAR, 
	api_key_id VARCHAR NOT NULL, 
	body_hash VARCHAR NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (batch_seq)
);
INSERT INTO "idempotency" VALUES(1,'tenant_a','/v1/batches',NULL,'key_1','hash of finished',1700000000000);
INSERT INTO "idempotency" VALUES(2,'tenant_a','/v1/batches',NULL,'key_1','hash of half_way',1700000000000);
INSERT INTO "idempotency" VALUES(3,'tenant_a','/v1/batches',NULL,'key_1','hash of cancelling',1700000000000);
INSERT INTO "idempotency" VALUES(4,'tenant_a','/v1/batches',NULL,'key_1','hash of validating',1700000000000);
CREATE TABLE lanes (
	id INTEGER NOT NULL, 
	provider VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	pool VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR, 
	until_ms BIGINT, 
	"limit" INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (provider, model, pool)
);
INSERT INTO "lanes" VALUES(1,'openai','fast','','open',NULL,NULL,NULL);
INSERT INTO "lanes" VALUES(2,'local','slow','','open',NULL,NULL,NULL);
CREATE TABLE loads (
	worker VARCHAR NOT NULL, 
	lane_id BIGINT NOT NULL, 
	batch_seq BIGINT NOT NULL, 
	in_flight INTEGER NOT NULL, 
	retrying INTEGER NOT NULL, 
	PRIMARY KEY (worker, lane_id, batch_seq)
);
CREATE TABLE ranges (
	batch_seq BIGINT NOT NULL, 
	range_no BIGINT NOT NULL, 
	first_line BIGINT NOT NULL, 
	lines INTEGER NOT NULL, 
	done BLOB NOT NULL, 
	pending INTEGER NOT NULL, 
	output_bytes BIGINT NOT NULL, 
	error_bytes BIGINT NOT NULL, 
	segment_seqs BLOB NOT NULL, 
	output_run_key VARCHAR, 
	error_run_key VARCHAR, 
	folded BOOLEAN NOT NULL, 
	PRIMARY KEY (batch_seq, range_no)
);
INSERT INTO "ranges" VALUES(1,0,0,2,X'03',0,40,0,X'01000000',NULL,NULL,0);
INSERT INTO "ranges" VALUES(2,0,0,4,X'0F',0,80,0,X'0100000003000000',NULL,NULL,0);
INSERT INTO "ranges" VALUES(2,1,4,4,X'01',3,0,30,X'02000000',NULL,NULL,0);
INSERT INTO "ranges" VALUES(2,2,8,4,X'00',4,0,0,X'',NULL,NULL,0);
INSERT INTO "ranges" VALUES(3,0,0,3,X'02',2,20,0,X'01000000',NULL,NULL,0);
CREATE TABLE segments (
	batch_seq BIGINT NOT NULL, 
	seq BIGINT NOT NULL, 
	length BIGINT NOT NULL, 
	count INTEGER NOT NULL, 
	admitted BLOB NOT NULL, 
	blob_key VARCHAR, 
	data BLOB, 
	PRIMARY KEY (batch_seq, seq)
);
INSERT INTO "segments" VALUES(1,1,172,2,X'03',NULL,X'787878787878787878787878787878787878780A787878787878787878787878787878787878780A00000000000000000100000000000000010000000001C8000100000078000000010000000A000000040000000300000001000000000000001400000001000000000000000100000000000000010000000001C8000100000078000000010000000A00000004000000030000000100000014000000140000004252736701003C0002000000');
INSERT INTO "segments" VALUES(2,1,172,2,X'03',NULL,X'787878787878787878787878787878787878780A787878787878787878787878787878787878780A00000000000000000200000000000000010000000001C8000100000078000000010000000A000000040000000300000001000000000000001400000002000000000000000200000000000000010000000001C8000100000078000000010000000A00000004000000030000000100000014000000140000004252736701003C0002000000');
INSERT INTO "segments" VALUES(2,2,102,1,X'01',NULL,X'78787878787878787878787878787878787878787878787878787878780A04000000010000000400000000000000010000000100900101000000780000000100000000000000000000000000000000000000000000001E0000004252736701003C0001000000');
INSERT INTO "segments" VALUES(2,3,172,2,X'03',NULL,X'787878787878787878787878787878787878780A787878787878787878787878787878787878780A01000000000000000300000000000000010000000001C8000100000078000000020000000A000000040000000300000001000000000000001400000003000000000000000300000000000000010000000001C8000100000078000000020000000A00000004000000030000000100000014000000140000004252736701003C0002000000');
INSERT INTO "segments" VALUES(3,1,92,1,X'01',NULL,X'787878787878787878787878787878787878780A01000000000000000800000000000000010000000001C8000100000078000000010000000A00000004000000030000000100000000000000140000004252736701003C0001000000');
CREATE TABLE shards (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	batch_seq BIGINT NOT NULL, 
	range_no BIGINT NOT NULL, 
	lane_id BIGINT NOT NULL, 
	members BLOB NOT NULL, 
	pending INTEGER NOT NULL, 
	owner VARCHAR, 
	epoch BIGINT NOT NULL, 
	open BOOLEAN NOT NULL
);
INSERT INTO "shards" VALUES(1,1,0,1,X'03',0,NULL,2,0);
INSERT INTO "shards" VALUES(2,2,0,1,X'05',0,'w1',1,1);
INSERT INTO "shards" VALUES(3,2,0,2,X'0A',0,'w1',1,1);
INSERT INTO "shards" VALUES(4,2,1,1,X'05',1,'w1',1,1);
INSERT INTO "shards" VALUES(5,2,1,2,X'0A',2,NULL,0,1);
INSERT INTO "shards" VALUES(6,2,2,1,X'05',2,'w1',1,1);
INSERT INTO "shards" VALUES(7,2,2,2,X'0A',2,NULL,0,1);
INSERT INTO "shards" VALUES(8,3,0,1,X'07',2,'w1',1,1);
CREATE TABLE tenants (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	weight INTEGER NOT NULL, 
	created_ms BIGINT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	UNIQUE (name)
);
INSERT INTO "tenants" VALUES(1,'tenant_a','tenant_a',1,1700000000000);
CREATE TABLE upload_parts (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	upload_id VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	blob_key VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
CREATE TABLE uploads (
	id VARCHAR NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	filename VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	mime_type VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	file_expires_after_s BIGINT, 
	file_id VARCHAR, 
	PRIMARY KEY (id)
);
CREATE TABLE workers (
	id VARCHAR NOT NULL, 
	lease_until_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "workers" VALUES('w1',1700000030000);
CREATE INDEX files_of_tenant ON files (tenant_id, seq) WHERE deleted_ms IS NULL;
CREATE INDEX files_by_index ON files (index_key) WHERE released = 0;
CREATE INDEX files_to_release ON files (deleted_ms) WHERE deleted_ms IS NOT NULL AND released = 0;
CREATE INDEX files_by_blob ON files (blob_key) WHERE released = 0;
CREATE INDEX files_of_purpose ON files (tenant_id, purpose, seq) WHERE deleted_ms IS NULL;
CREATE INDEX files_expiring ON files (expires_ms) WHERE deleted_ms IS NULL AND expires_ms IS NOT NULL;
CREATE INDEX uploads_expiring ON uploads (state, expires_ms);
CREATE INDEX ix_upload_parts_blob_key ON upload_parts (blob_key);
CREATE INDEX upload_parts_of_upload ON upload_parts (upload_id, seq);
CREATE INDEX batches_of_tenant ON batches (tenant_id, seq);
CREATE INDEX batches_to_purge ON batches (purge_ms) WHERE purge_ms IS NOT NULL AND purged = 0;
CREATE INDEX batches_live ON batches (seq) WHERE live = 1;
CREATE UNIQUE INDEX idempotency_keys ON idempotency (tenant_id, route, "key");
CREATE INDEX ix_idempotency_at_ms ON idempotency (at_ms);
CREATE INDEX idempotency_bodies ON idempotency (api_key_id, body_hash);
CREATE INDEX ranges_by_error_run ON ranges (error_run_key) WHERE error_run_key IS NOT NULL;
CREATE INDEX ranges_by_output_run ON ranges (output_run_key) WHERE output_run_key IS NOT NULL;
CREATE INDEX ranges_to_fold ON ranges (batch_seq, range_no) WHERE pending = 0 AND folded = 0;
CREATE INDEX shards_free ON shards (batch_seq, lane_id, range_no, pending) WHERE open = 1 AND owner IS NULL;
CREATE INDEX ix_shards_batch_seq ON shards (batch_seq);
CREATE INDEX shards_owned ON shards (owner) WHERE open = 1 AND owner IS NOT NULL;
CREATE INDEX segments_by_blob ON segments (blob_key) WHERE blob_key IS NOT NULL;
CREATE INDEX loads_of_batch ON loads (batch_seq);
CREATE INDEX ix_garbage_since_ms ON garbage (since_ms);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('shards',8);
COMMIT;
